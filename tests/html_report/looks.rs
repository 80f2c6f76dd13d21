//! How the page looks where that can be asked of a browser: numbers with their units, what is printed, where the keyboard is. It
//! must not know what the report says.

use std::collections::HashSet;

use serde_json::json;

use crate::browser::{self, Browser};
use crate::watches::story;
use crate::{page, written};

/// Pieces of text in which a line could end between a number and its unit.
const TORN: &str = r#"(() => {
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const { data, parentElement } = walker.currentNode;
    if (!parentElement.closest("script, pre, code, svg") && /\d (ms|s|min|h|%)(?![a-z])/.test(data)) found.push(data);
  }
  return found;
})()"#;

fn open_everything(browser: &mut Browser) {
    browser.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))");
    browser.evaluate("document.querySelectorAll('[aria-expanded=false]').forEach((one) => one.click())");
}

pub(crate) fn no_line_ends_between_a_number_and_its_unit() {
    let mut browser = browser::start();
    let (_folder, path) = written("report.html", &page(&story::analysis(true)));
    browser.open(&path);
    open_everything(&mut browser);
    assert_eq!(browser.evaluate(TORN), json!([]));
    let tiles = browser.evaluate("document.getElementById('tiles').textContent");
    assert!(tiles.as_str().unwrap().contains("\u{a0}ms"), "{tiles}");
}

pub(crate) fn what_is_printed_at_night_is_dark_on_white_and_keeps_its_colours() {
    let mut browser = browser::start();
    let (_folder, path) = written("report.html", &page(&story::analysis(true)));
    browser.open(&path);
    browser.evaluate("document.documentElement.dataset.theme = 'dark'");
    browser.call("Emulation.setEmulatedMedia", json!({ "media": "print" }));
    let style = |what: &str| format!("getComputedStyle(document.body).{what}");
    assert_eq!(browser.evaluate(&style("backgroundColor")), "rgb(255, 255, 255)");
    assert_eq!(browser.evaluate(&style("color")), "rgb(26, 32, 39)");
    let kept = "getComputedStyle(document.querySelector('.swatch')).printColorAdjust";
    assert_eq!(browser.evaluate(kept), "exact", "what colours mean is in the legend");
    // An A4 page at 96 dots an inch, less its margins.
    browser.resize(718, 1000);
    for (what, words) in [("#tasks th:nth-child(3)", "waited"), ("#tasks tbody td", "serve")] {
        let text = browser.evaluate(&format!("document.querySelector('{what}').innerText"));
        assert!(text.as_str().unwrap().contains(words), "{what}: {text}");
    }
    let cut = "[...document.querySelectorAll('.flame, .graph, .plot')].filter((one) => one.scrollWidth > one.clientWidth).length";
    assert_eq!(browser.evaluate(cut), 0, "nobody can scroll paper");
    for hidden in [".sections", ".tools", "#theme"] {
        let shown = browser.evaluate(&format!("document.querySelector('{hidden}').checkVisibility()"));
        assert_eq!(shown, false, "{hidden} is nothing on paper");
    }
}

pub(crate) fn the_keyboard_reaches_every_control_and_one_sees_where_it_is() {
    let mut browser = browser::start();
    let (_folder, path) = written("report.html", &page(&story::analysis(true)));
    browser.open(&path);
    // A tab list is one stop, arrow keys go on from there.
    browser.evaluate(
        "window.controls = [...document.querySelectorAll('button, a[href], input, select, summary, [tabindex=\"0\"]')] \
         .filter((one) => one.checkVisibility() && !one.disabled && one.getAttribute('tabindex') !== '-1')",
    );
    let count = browser.evaluate("controls.length").as_u64().unwrap();
    assert!(count > 40, "{count}");
    let mut reached = HashSet::new();
    for _ in 0..count + 5 {
        browser.press("Tab");
        let place = browser.evaluate("controls.indexOf(document.activeElement)").as_i64().unwrap();
        if place < 0 {
            continue;
        }
        reached.insert(place);
        let outline = browser.evaluate(
            "(() => { const style = getComputedStyle(document.activeElement); \
             return style.outlineStyle === 'solid' && parseFloat(style.outlineWidth) >= 2; })()",
        );
        let what = browser.evaluate("document.activeElement.outerHTML.slice(0, 120)");
        assert_eq!(outline, true, "{what}");
    }
    let missed: Vec<_> = (0..count as i64).filter(|place| !reached.contains(place)).collect();
    let missed = browser.evaluate(&format!("{missed:?}.map((place) => controls[place].outerHTML.slice(0, 120))"));
    assert_eq!(missed, json!([]));
}
