//! Checks JSON against the part of JSON Schema that the dump's schema uses: type, required, properties, items, enum,
//! const and local references. It must not know what a dump is; a keyword it does not know is an error, so that the
//! schema cannot outgrow it in silence.

use serde_json::{Map, Value};

/// Keywords that say nothing a check could use.
const ANNOTATIONS: [&str; 5] = ["$schema", "$defs", "title", "description", "$comment"];

/// Everything in which `value` departs from `schema`, as sentences with the place in front.
pub fn violations(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    Check { root: schema, found: &mut found }.value(schema, value, "$");
    found
}

struct Check<'a> {
    root: &'a Value,
    found: &'a mut Vec<String>,
}

impl Check<'_> {
    fn value(&mut self, schema: &Value, value: &Value, place: &str) {
        let Some(keywords) = schema.as_object() else {
            return self.found.push(format!("{place}: the schema is not an object"));
        };
        for (keyword, wanted) in keywords {
            self.keyword(keyword, wanted, value, place);
        }
    }

    fn keyword(&mut self, keyword: &str, wanted: &Value, value: &Value, place: &str) {
        match keyword {
            "type" if !has_type(wanted, value) => self.found.push(format!("{place}: {value} is not of type {wanted}")),
            "const" if wanted != value => self.found.push(format!("{place}: {value} is not {wanted}")),
            "enum" if !array(wanted).contains(value) => {
                self.found.push(format!("{place}: {value} is none of {wanted}"));
            }
            "type" | "const" | "enum" => {}
            "required" => self.required(wanted, value, place),
            "properties" => self.properties(wanted, value, place),
            "items" => {
                for (index, item) in array(value).iter().enumerate() {
                    self.value(wanted, item, &format!("{place}[{index}]"));
                }
            }
            "$ref" => match wanted.as_str().and_then(|name| self.root.pointer(name.strip_prefix('#')?)) {
                Some(definition) => self.value(definition, value, place),
                None => self.found.push(format!("{place}: the schema has no {wanted}")),
            },
            other if ANNOTATIONS.contains(&other) => {}
            other => self.found.push(format!("{place}: this check does not know the keyword {other}")),
        }
    }

    fn required(&mut self, wanted: &Value, value: &Value, place: &str) {
        let Some(object) = value.as_object() else { return };
        for key in array(wanted).iter().filter_map(Value::as_str) {
            if !object.contains_key(key) {
                self.found.push(format!("{place}: {key} is missing"));
            }
        }
    }

    fn properties(&mut self, wanted: &Value, value: &Value, place: &str) {
        let nothing = Map::new();
        for (key, schema) in wanted.as_object().unwrap_or(&nothing) {
            if let Some(value) = value.get(key) {
                self.value(schema, value, &format!("{place}.{key}"));
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
