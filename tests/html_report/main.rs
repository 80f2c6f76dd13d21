//! The report as one page: nothing is fetched, names never become markup, all that the report says is in it, and a browser
//! draws it and obeys the keyboard.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod browser;
mod looks;
#[path = "../support/mod.rs"]
mod support;
#[path = "../watches/mod.rs"]
mod watches;

use std::fs;
use std::path::PathBuf;

use asyncprof::detect::analysis::Analysis;
use asyncprof::model::event::{Batch, Event};
use asyncprof::render::report::html::{self, Excerpt, Sources, Wanted};
use asyncprof::render::report::{self, Report};
use data_encoding::BASE64;
use scraper::{Html, Selector};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use watches::{header, story};

support::trials::trials! {
    the_page_is_one_file_that_fetches_nothing,
    the_policy_allows_this_script_and_this_style_and_nothing_else,
    names_that_are_markup_stay_names,
    all_that_the_report_says_is_in_the_page,
    the_course_of_time_shows_each_stall,
    source_lines_stand_beside_the_frames_they_belong_to,
    nothing_is_called_good_that_nobody_has_seen,
    a_browser_draws_it_and_obeys_the_keyboard,
    a_browser_shows_it_readably_by_day_and_by_night,
    a_browser_runs_nothing_that_a_name_says,
    a_browser_draws_a_page_of_nothing,
    looks::no_line_ends_between_a_number_and_its_unit,
    looks::what_is_printed_at_night_is_dark_on_white_and_keeps_its_colours,
    looks::the_keyboard_reaches_every_control_and_one_sees_where_it_is,
}

/// Names as somebody might choose them who means harm.
const HOSTILE: [&str; 4] = [
    "</script><script>window.pwned = 1</script><img src=x onerror=\"window.pwned = 2\">",
    "\"><svg onload=window.pwned=3> ' & <!-- <script>",
    "line\nbreak\u{2028}\u{202e}gnp.exe\u{0}",
    "{{script}} {{data}} https://example.com/x.js",
];

fn page_with(analysis: &Analysis, sources: &Sources) -> String {
    let mut out = Vec::new();
    html::write(&Report { analysis, complete: true }, sources, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn page(analysis: &Analysis) -> String {
    page_with(analysis, &Sources::default())
}

fn json_report(analysis: &Analysis) -> Value {
    let mut out = Vec::new();
    report::write_json(&Report { analysis, complete: true }, &mut out).unwrap();
    serde_json::from_slice(&out).unwrap()
}

fn select(page: &Html, selector: &str) -> Vec<String> {
    page.select(&Selector::parse(selector).unwrap()).map(|element| element.text().collect()).collect()
}

/// What the page's script is given, as a parser of HTML sees it.
fn data_of(page: &str) -> Value {
    let found = select(&Html::parse_document(page), "script#data");
    assert_eq!(found.len(), 1);
    serde_json::from_str(&found[0]).unwrap()
}

/// The story, with everything that has a name called something else.
fn hostile() -> Analysis {
    let mut header = header();
    header.command = HOSTILE.map(String::from).into();
    header.started_at = HOSTILE[0].into();
    header.executable = HOSTILE[1].into();
    header.machine = vec![(HOSTILE[0].into(), HOSTILE[1].into())];
    let mut analysis = Analysis::new(header);
    for mut batch in story::batches(true) {
        rename(&mut batch);
        analysis.absorb(&batch).unwrap();
    }
    analysis.finish();
    analysis
}

fn rename(batch: &mut Batch) {
    let hostile = |number: usize| HOSTILE[number % HOSTILE.len()].into();
    for (number, frame) in batch.definitions.frames.iter_mut().enumerate() {
        // Different ones stay different: their lines are.
        (frame.function, frame.file) = (hostile(number), hostile(number + 1));
    }
    for (number, task) in batch.definitions.tasks.iter_mut().enumerate() {
        task.name = Some(hostile(number));
    }
    for (number, event_loop) in batch.definitions.loops.iter_mut().enumerate() {
        (event_loop.class, event_loop.thread_name) = (hostile(number), Some(hostile(number + 2)));
    }
    for event in &mut batch.events {
        match event {
            Event::Note(note) => note.text = HOSTILE.concat(),
            Event::Findings { findings, .. } => {
                for found in findings {
                    found.finding.message = HOSTILE.concat();
                    found.finding.advice = HOSTILE.concat();
                    found.finding.evidence.insert("hostile".into(), HOSTILE.concat().into());
                }
            }
            Event::Tasks(changes) => {
                for wait in changes.changed.iter_mut().filter_map(|look| look.wait.as_mut()) {
                    wait.detail = Some((&*hostile(0)).into());
                }
            }
            _ => {}
        }
    }
}

fn hostile_sources(analysis: &Analysis) -> Sources {
    let mut sources = Sources::default();
    for wanted in html::wanted(&Report { analysis, complete: true }) {
        let lines = HOSTILE.map(String::from).into();
        sources.add(&wanted, Excerpt { first: wanted.line, lines, changed: true });
    }
    sources
}

fn the_page_is_one_file_that_fetches_nothing() {
    let written = page(&story::analysis(true));
    assert!(!written.contains("http://") && !written.contains("https://"));
    let parsed = Html::parse_document(&written);
    for selector in ["[src]", "link", "iframe", "object", "embed", "form", "base", "[style]", "[onclick]", "[onload]"] {
        assert!(select(&parsed, selector).is_empty(), "{selector}");
    }
    let links = Selector::parse("[href]").unwrap();
    assert!(parsed.select(&links).all(|link| link.attr("href").unwrap().starts_with('#')));
}

fn the_policy_allows_this_script_and_this_style_and_nothing_else() {
    let parsed = Html::parse_document(&page(&hostile()));
    let meta = Selector::parse("meta[http-equiv='Content-Security-Policy']").unwrap();
    let policies: Vec<_> = parsed.select(&meta).map(|meta| meta.attr("content").unwrap()).collect();
    assert_eq!(policies.len(), 1);
    let hash = |text: &str| format!("'sha256-{}'", BASE64.encode(&Sha256::digest(text)));
    let (scripts, styles) = (select(&parsed, "script:not([type])"), select(&parsed, "style"));
    assert_eq!((scripts.len(), styles.len()), (1, 1));
    let rules: Vec<&str> = policies[0].split(';').map(str::trim).collect();
    let (script, style) = (format!("script-src {}", hash(&scripts[0])), format!("style-src {}", hash(&styles[0])));
    assert_eq!(rules, ["default-src 'none'", &script, &style, "base-uri 'none'", "form-action 'none'"]);
}

fn names_that_are_markup_stay_names() {
    let analysis = hostile();
    let (written, plain) = (page_with(&analysis, &hostile_sources(&analysis)), page(&story::analysis(true)));
    let (parsed, expected) = (Html::parse_document(&written), Html::parse_document(&plain));
    for selector in ["script", "img", "svg", "body *", "head *"] {
        assert_eq!(select(&parsed, selector).len(), select(&expected, selector).len(), "{selector}");
    }
    let bad = |c: &char| asyncprof::render::escape::is_deceptive(*c) && *c != '\n';
    assert_eq!(written.chars().find(bad), None);
    let data = data_of(&written).to_string();
    assert!(data.contains("onerror") && data.contains("{{script}}"), "the names are there");
    assert!(!data.contains('\u{202e}'), "and cannot deceive");
}

fn all_that_the_report_says_is_in_the_page() {
    let analysis = story::analysis(true);
    let (data, report) = (data_of(&page(&analysis)), json_report(&analysis));
    let text = |number: &Value| data["texts"][number.as_u64().unwrap() as usize].as_str().unwrap();
    let frame = |number: &Value| {
        let frame = &data["frames"][number.as_u64().unwrap() as usize];
        (text(&frame[0]).to_owned(), text(&frame[1]).to_owned(), frame[2].as_u64().filter(|line| *line > 0))
    };
    let said = |frame: &Value| {
        let name = |key| frame[key].as_str().unwrap_or_default().to_owned();
        (name("function"), name("file"), frame["line"].as_u64())
    };

    let list = &data["stalls"]["list"];
    assert_eq!(data["stalls"]["count"], report["stall_totals"]["count"]);
    let mut told: Vec<_> = (0..list["group"].as_array().unwrap().len())
        .map(|at| {
            let group = &data["stalls"]["groups"][list["group"][at].as_u64().unwrap() as usize];
            let stack = &data["stacks"][list["stack"][at].as_u64().unwrap() as usize];
            let stack: Vec<_> = stack.as_array().unwrap().iter().map(frame).collect();
            let site = (!group["site"].is_null()).then(|| frame(&group["site"]));
            let cause = group["cause"].as_str().unwrap().to_owned();
            (list["start_us"][at].as_u64().unwrap(), list["at_least_us"][at].as_u64().unwrap(), cause, site, stack)
        })
        .collect();
    let mut wanted: Vec<_> = report["stalls"].as_array().unwrap().iter().collect();
    wanted.sort_by_key(|stall| stall["start_ns"].as_u64());
    told.sort_by_key(|stall| stall.0);
    assert_eq!(told.len(), wanted.len());
    for ((start_us, at_least_us, cause, site, stack), stall) in told.into_iter().zip(wanted) {
        assert_eq!(start_us, stall["start_ns"].as_u64().unwrap() / 1_000);
        assert!((at_least_us as f64 - stall["duration_ms"].as_f64().unwrap() * 1e3).abs() <= 1.0);
        assert_eq!(cause, stall["cause"].as_str().unwrap());
        assert_eq!(site.unwrap_or_default(), said(&stall["site"]));
        assert_eq!(stack, stall["stack"].as_array().unwrap().iter().map(said).collect::<Vec<_>>());
    }

    let coroutines = data["tasks"]["list"].as_array().unwrap();
    assert_eq!(coroutines.len(), report["tasks"].as_array().unwrap().len());
    for wanted in report["tasks"].as_array().unwrap() {
        let name = wanted["coroutine"].as_str().unwrap();
        let told = coroutines.iter().find(|one| frame(&one["frame"]).0 == name).unwrap();
        for key in ["seen", "born", "ended", "alive", "most_alive"] {
            assert_eq!(told[key], wanted[key], "{name} {key}");
        }
        for (ours, theirs) in [("run_us", "run_ms"), ("wait_us", "wait_ms"), ("longest_us", "longest_wait_ms_at_least")]
        {
            let (ours, theirs) = (told[ours].as_f64().unwrap(), wanted[theirs].as_f64().unwrap() * 1e3);
            assert!((ours - theirs).abs() <= 1.0, "{name}: {ours} {theirs}");
        }
        assert_eq!(told["waits"].as_array().unwrap().len(), wanted["waits"].as_array().unwrap().len().min(6));
    }
    assert_eq!(data["loops"].as_array().unwrap().len(), report["loops"].as_array().unwrap().len());
    assert_eq!(
        data["loops"][0]["busy"].as_f64().map(|busy| (busy * 1e5).round() / 1e3),
        report["loops"][0]["busy_percent"].as_f64()
    );
    let messages: Vec<_> =
        data["findings"].as_array().unwrap().iter().map(|one| (&one["rule"], &one["severity"])).collect();
    assert_eq!(
        messages,
        report["findings"].as_array().unwrap().iter().map(|one| (&one["rule"], &one["severity"])).collect::<Vec<_>>()
    );
    assert_eq!(
        data["notes"].as_array().unwrap().len() + 1,
        report["notes"].as_array().unwrap().len(),
        "all but the end"
    );
    let figures = data["sampling"].to_string();
    for part in
        ["20,000", "101", "57", "12", "40", "1.7 %", "yes, to stay within the budget", "stalls shorter than 104 ms"]
    {
        assert!(figures.contains(part), "{part}: {figures}");
    }
}

fn the_course_of_time_shows_each_stall() {
    let data = data_of(&page(&story::analysis(true)));
    let bins = &data["timeline"]["loops"][0];
    let width_us = bins["width_us"].as_u64().unwrap();
    let lag_at = |at_us: u64| bins["lag_us"][(at_us / width_us) as usize].as_i64().unwrap();
    let list = &data["stalls"]["list"];
    let mut seen = 0;
    for at in 0..list["loop"].as_array().unwrap().len() {
        if list["loop"][at] == 0 {
            let (start, length) = (list["start_us"][at].as_u64().unwrap(), list["at_least_us"][at].as_i64().unwrap());
            assert!(lag_at(start) >= length && lag_at(start + length as u64 - 1) >= length, "{at}");
            seen += 1;
        }
    }
    assert_eq!(seen, 5);
    assert_eq!(data["timeline"]["born"].as_array().unwrap().iter().filter_map(Value::as_u64).sum::<u64>(), 20);
}

fn source_lines_stand_beside_the_frames_they_belong_to() {
    let analysis = story::analysis(true);
    let wanted = html::wanted(&Report { analysis: &analysis, complete: true });
    let site = wanted.iter().find(|one| &*one.file == "/app/report.py").unwrap();
    assert_eq!((site.line, site.around), (88, 4));
    assert!(wanted.iter().all(|one| !one.file.contains("site-packages") || one.around > 0), "{wanted:?}");
    let mut sources = Sources::default();
    let lines = vec!["\tdef build_report():".into(), "x".repeat(500)];
    sources.add(&Wanted { file: site.file.clone(), line: 88, around: 4 }, Excerpt { first: 87, lines, changed: false });
    let data = data_of(&page_with(&analysis, &sources));
    let excerpts = data["excerpts"].as_object().unwrap();
    assert_eq!(excerpts.len(), 1);
    let excerpt = excerpts.values().next().unwrap();
    assert_eq!(excerpt["lines"][0], "    def build_report():");
    assert!(excerpt["lines"][1].as_str().unwrap().chars().count() < 200);
}

fn nothing_is_called_good_that_nobody_has_seen() {
    let data = data_of(&page(&story::nothing()));
    assert_eq!(data["verdict"]["level"], "unknown");
    assert!(data["verdict"]["text"].as_str().unwrap().contains("nothing is known"));
    assert_eq!(data_of(&page(&story::analysis(true)))["verdict"]["level"], "bad");
}

fn written(name: &str, page: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, page).unwrap();
    (folder, path)
}

fn a_browser_draws_it_and_obeys_the_keyboard() {
    let mut browser = browser::start();
    let (_folder, path) = written("report.html", &page(&story::analysis(true)));
    browser.open(&path);
    assert_eq!(browser.evaluate("document.querySelectorAll('#stall-groups > details').length"), 3);
    assert_eq!(browser.evaluate("document.querySelectorAll('tr.stall').length"), 3, "those of the first place");
    assert_eq!(browser.evaluate("document.querySelectorAll('#time .plot svg').length"), 3, "two loops and the tasks");

    browser.evaluate("document.querySelector('#time .plot').focus()");
    browser.press("ArrowRight");
    browser.press("ArrowRight");
    browser.press("Enter");
    let picked = browser.evaluate("document.activeElement.closest('tr').className");
    assert!(picked.as_str().unwrap().contains("picked-row"), "{picked}");
    assert_eq!(browser.evaluate("document.activeElement.getAttribute('aria-expanded')"), "true");

    let status = "document.querySelector('.flame-graph > .status').textContent";
    let zoomed = "!document.querySelector('.flame-graph .tools button').disabled";
    browser.evaluate("document.querySelector('.flame').focus()");
    browser.press("ArrowDown");
    browser.press("ArrowDown");
    let at = browser.evaluate(status);
    assert!(at.as_str().unwrap().contains("serve (/app/main.py:22)"), "{at}");
    assert_eq!(browser.evaluate(zoomed), false);
    browser.press("Enter");
    assert_eq!(browser.evaluate(zoomed), true);
    browser.press("Escape");
    assert_eq!(browser.evaluate(zoomed), false);
    browser.press("/");
    browser.type_text("parse");
    assert!(browser.evaluate("document.querySelectorAll('.flame g.hit').length").as_u64().unwrap() > 0);
    browser.press("Enter");
    let found = browser.evaluate(status);
    assert!(found.as_str().unwrap().starts_with("parse (/app/client.py:61)"), "{found}");

    for name in ["await", "wall"] {
        browser.evaluate(&format!("document.getElementById('tab-{name}').click()"));
        assert!(browser.evaluate("document.querySelectorAll('.flame g').length").as_u64().unwrap() > 3, "{name}");
    }
    browser.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))");
    for width in [360, 800, 1280] {
        browser.resize(width, 740);
        let wide = browser.evaluate("document.documentElement.scrollWidth");
        assert!(wide.as_u64().unwrap() <= u64::from(width), "{wide} at {width}");
    }
    assert_eq!(browser.complaints(), Vec::<Value>::new());
}

/// Elements whose own text stands out from what is behind it by less than WCAG's AA asks, and headings that skip a level.
const UNREADABLE: &str = r#"(() => {
  const parse = (color) => (color.match(/[\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255).map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = parse(getComputedStyle(at).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  const found = new Set();
  for (const element of document.querySelectorAll("body *")) {
    if (element.closest("svg, script, noscript") || !element.checkVisibility()) continue;
    if (![...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim())) continue;
    const style = getComputedStyle(element);
    const size = parseFloat(style.fontSize);
    const needed = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
    const [one, other] = [light(parse(style.color)), light(behind(element))].sort((a, b) => b - a);
    if ((one + 0.05) / (other + 0.05) < needed && !element.disabled) found.add(element.tagName + "." + element.className + " " + style.color);
  }
  let level = 0;
  for (const heading of document.querySelectorAll("h1, h2, h3, h4, h5, h6")) {
    const now = Number(heading.tagName[1]);
    if (now > level + 1) found.add("level " + now + " after " + level + ": " + heading.textContent);
    level = now;
  }
  return [...found];
})()"#;

fn a_browser_shows_it_readably_by_day_and_by_night() {
    let mut browser = browser::start();
    let analysis = story::analysis(true);
    let mut sources = Sources::default();
    for wanted in html::wanted(&Report { analysis: &analysis, complete: true }) {
        let lines = vec!["def f():".into(), "    pass".into()];
        sources.add(&wanted, Excerpt { first: wanted.line, lines, changed: false });
    }
    let (_folder, path) = written("report.html", &page_with(&analysis, &sources));
    browser.open(&path);
    browser.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))");
    browser.evaluate("document.querySelectorAll('[aria-expanded=false]').forEach((one) => one.click())");
    for theme in ["light", "dark"] {
        let features = serde_json::json!([{ "name": "prefers-color-scheme", "value": theme }]);
        browser.call("Emulation.setEmulatedMedia", serde_json::json!({ "features": features }));
        // The browser tells the page in its own time; one that is never told fails by the browser's limit.
        let follows = format!(
            "new Promise((done) => {{ const look = () => document.documentElement.dataset.theme === '{theme}' \
             ? done('{theme}') : requestAnimationFrame(look); look(); }})"
        );
        assert_eq!(browser.evaluate(&follows), theme);
        assert_eq!(browser.evaluate(UNREADABLE), serde_json::json!([]), "{theme}");
    }
    for (times, theme) in [(1, "light"), (2, "dark"), (3, "dark")] {
        browser.evaluate("document.getElementById('theme').click()");
        assert_eq!(browser.evaluate("document.documentElement.dataset.theme"), theme, "after {times}");
    }
}

fn a_browser_runs_nothing_that_a_name_says() {
    let mut browser = browser::start();
    let analysis = hostile();
    let (_folder, path) = written("hostile.html", &page_with(&analysis, &hostile_sources(&analysis)));
    browser.open(&path);
    browser.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))");
    browser.evaluate("document.querySelectorAll('[aria-expanded=false]').forEach((one) => one.click())");
    assert_eq!(browser.evaluate("String(window.pwned)"), "undefined");
    assert_eq!(browser.evaluate("document.querySelectorAll('img').length"), 0);
    assert!(browser.evaluate("document.body.textContent.includes('onerror')").as_bool().unwrap());
    // Whatever came in by another way would be stopped by the policy.
    browser.evaluate(
        "(() => { const one = document.createElement('script'); one.textContent = 'window.pwned = 4'; document.body.append(one); })()",
    );
    assert_eq!(browser.evaluate("String(window.pwned)"), "undefined");
    browser.resize(360, 740);
    assert!(browser.evaluate("document.documentElement.scrollWidth").as_u64().unwrap() <= 360);
}

fn a_browser_draws_a_page_of_nothing() {
    let mut browser = browser::start();
    let (_folder, path) = written("nothing.html", &page(&story::nothing()));
    browser.open(&path);
    assert!(browser.evaluate("document.body.textContent.includes('No event loop was seen')").as_bool().unwrap());
    assert_eq!(browser.complaints(), Vec::<Value>::new());
}
