//! Checks JSON against the part of JSON Schema that the dump's schema uses: type, required, properties, items, enum,
//! const and local references.

use serde_json::Value;

/// Keywords that say nothing a check could use.
const ANNOTATIONS: [&str; 6] = ["$schema", "$defs", "title", "description", "$comment", "examples"];

/// Everything in which `value` departs from `schema`, as sentences with the place in front.
pub fn violations(schema: &Value, value: &Value) -> Vec<String> {
    let mut check = Check { root: schema, place: "$".to_owned(), found: Vec::new() };
    check.value(schema, value);
    check.found
}

struct Check<'a> {
    root: &'a Value,
    /// Where in the value the check is; grows and shrinks with it.
    place: String,
    found: Vec<String>,
}

impl<'a> Check<'a> {
    fn value(&mut self, schema: &'a Value, value: &Value) {
        let Some(keywords) = schema.as_object() else { return self.says("the schema is not an object") };
        for (keyword, wanted) in keywords {
            self.keyword(keyword, wanted, value);
        }
    }

    fn says(&mut self, what: &str) {
        self.found.push(format!("{}: {what}", self.place));
    }

    fn inside(&mut self, step: &str, schema: &'a Value, value: &Value) {
        let length = self.place.len();
        self.place.push_str(step);
        self.value(schema, value);
        self.place.truncate(length);
    }

    fn keyword(&mut self, keyword: &str, wanted: &'a Value, value: &Value) {
        match keyword {
            "type" if !has_type(wanted, value) => self.says(&format!("{value} is not of type {wanted}")),
            "const" if wanted != value => self.says(&format!("{value} is not {wanted}")),
            "enum" if !array(wanted).contains(value) => self.says(&format!("{value} is none of {wanted}")),
            "type" | "const" | "enum" => {}
            "required" => self.required(wanted, value),
            "properties" => self.properties(wanted, value),
            "items" => {
                for (index, item) in array(value).iter().enumerate() {
                    self.inside(&format!("[{index}]"), wanted, item);
                }
            }
            "$ref" => match wanted.as_str().and_then(|name| self.root.pointer(name.strip_prefix('#')?)) {
                Some(definition) => self.value(definition, value),
                None => self.says(&format!("the schema has no {wanted}")),
            },
            other if ANNOTATIONS.contains(&other) => {}
            other => self.says(&format!("this check does not know the keyword {other}")),
        }
    }

    fn required(&mut self, wanted: &Value, value: &Value) {
        let Some(object) = value.as_object() else { return };
        for key in array(wanted).iter().filter_map(Value::as_str) {
            if !object.contains_key(key) {
                self.says(&format!("{key} is missing"));
            }
        }
    }

    fn properties(&mut self, wanted: &'a Value, value: &Value) {
        for (key, schema) in wanted.as_object().into_iter().flatten() {
            if let Some(value) = value.get(key) {
                self.inside(&format!(".{key}"), schema, value);
            }
        }
    }
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn has_type(wanted: &Value, value: &Value) -> bool {
    match wanted {
        Value::Array(several) => several.iter().any(|one| has_type(one, value)),
        Value::String(name) => match name.as_str() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "null" => value.is_null(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            _ => false,
        },
        _ => false,
    }
}
