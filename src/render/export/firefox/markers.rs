//! Markers of the Firefox Profiler: stalls with their details, and what happened to the target.

use fxprof_processed_profile::{
    CategoryHandle, MarkerFieldFlags, MarkerFieldFormat, MarkerLocations, Profile, StaticSchemaMarker,
    StaticSchemaMarkerField, StringHandle,
};

use crate::detect::stall::Stall;
use crate::render::report::words;
use crate::render::{escape, label};

/// Shown wherever the profiler shows markers.
const EVERYWHERE: MarkerLocations =
    MarkerLocations::MARKER_CHART.union(MarkerLocations::MARKER_TABLE).union(MarkerLocations::TIMELINE_OVERVIEW);

const fn text(key: &'static str, label: &'static str) -> StaticSchemaMarkerField {
    let (format, flags) = (MarkerFieldFormat::String, MarkerFieldFlags::SEARCHABLE);
    StaticSchemaMarkerField { key, label, format, flags }
}

pub(super) struct StallMarker {
    name: StringHandle,
    category: CategoryHandle,
    fields: [StringHandle; 6],
}

impl StallMarker {
    pub(super) fn of(stall: &Stall, category: CategoryHandle, profile: &mut Profile) -> Self {
        let site = stall.site.as_ref().or(stall.stack.last()).map(words::frame);
        let mut cause = words::cause(stall.cause).to_owned();
        if let Some(detail) = &stall.detail {
            cause = format!("{cause}: {}", escape::visible(detail));
        }
        let task = match &stall.task {
            Some(task) => task
                .name
                .as_deref()
                .map_or_else(|| format!("task {:#x}", task.key), |name| label::name(name).into_owned()),
            None => String::new(),
        };
        let evidence: Vec<String> = stall.evidence.entries().map(|(name, value)| format!("{name} {value}")).collect();
        let texts = [
            cause,
            site.unwrap_or_default(),
            task,
            words::stall_length(stall),
            stall.advice.clone(),
            evidence.join(", "),
        ];
        let fields = texts.map(|text| profile.intern_string(&text));
        Self { name: profile.intern_string("Stall"), category, fields }
    }
}

impl StaticSchemaMarker for StallMarker {
    const UNIQUE_MARKER_TYPE_NAME: &'static str = "Stall";
    const DESCRIPTION: Option<&'static str> = Some("The event loop was blocked for longer than the threshold.");
    const LOCATIONS: MarkerLocations = EVERYWHERE;
    const CHART_LABEL: Option<&'static str> = Some("{marker.data.site}");
    const TOOLTIP_LABEL: Option<&'static str> = Some("Stall: {marker.data.reason}");
    const TABLE_LABEL: Option<&'static str> = Some("{marker.data.reason} at {marker.data.site}");
    const FIELDS: &'static [StaticSchemaMarkerField] = &[
        text("reason", "Cause"),
        text("site", "At"),
        text("task", "Task"),
        text("lasted", "Lasted"),
        text("advice", "Advice"),
        text("evidence", "Evidence"),
    ];

    fn name(&self, _: &mut Profile) -> StringHandle {
        self.name
    }

    fn category(&self, _: &mut Profile) -> CategoryHandle {
        self.category
    }

    fn string_field_value(&self, index: u32) -> StringHandle {
        self.fields[index as usize]
    }

    fn number_field_value(&self, _: u32) -> f64 {
        // INVARIANT: no field of the schema is a number.
        f64::NAN
    }
}

/// Something that happened.
pub(super) struct NoteMarker {
    name: StringHandle,
    text: StringHandle,
}

impl NoteMarker {
    pub(super) fn of(text: &str, profile: &mut Profile) -> Self {
        Self { name: profile.intern_string("Note"), text: profile.intern_string(text) }
    }
}

impl StaticSchemaMarker for NoteMarker {
    const UNIQUE_MARKER_TYPE_NAME: &'static str = "Note";
    const LOCATIONS: MarkerLocations = EVERYWHERE;
    const CHART_LABEL: Option<&'static str> = Some("{marker.data.text}");
    const TABLE_LABEL: Option<&'static str> = Some("{marker.data.text}");
    const FIELDS: &'static [StaticSchemaMarkerField] = &[text("text", "What")];

    fn name(&self, _: &mut Profile) -> StringHandle {
        self.name
    }

    fn category(&self, _: &mut Profile) -> CategoryHandle {
        CategoryHandle::OTHER
    }

    fn string_field_value(&self, _: u32) -> StringHandle {
        self.text
    }

    fn number_field_value(&self, _: u32) -> f64 {
        // INVARIANT: no field of the schema is a number.
        f64::NAN
    }
}
