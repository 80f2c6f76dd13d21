"""What asyncprof said of healthy programs: results, a line for each, tables, JSON."""

import collections
import dataclasses
import json

import verdicts

# Of each cause.
SHOWN_STALLS = 3


@dataclasses.dataclass
class Result:
    setting: str
    program: str
    dumps: int = 0
    watched_s: float = 0
    # What went wrong with the program: then nothing was tried.
    broken: str = None
    # Rule, where it was said, and the finding.
    findings: list = dataclasses.field(default_factory=list)
    # Verdict, why, and the stall.
    stalls: list = dataclasses.field(default_factory=list)
    info: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    failed: list = dataclasses.field(default_factory=list)
    quality: dict = None

    def stalls_that_are(self, verdict):
        return [one for one in self.stalls if one["verdict"] == verdict]

    @property
    def is_sound(self):
        return not (self.broken or self.findings or self.failed or any(map(self.stalls_that_are, verdicts.FAULTS)))


def label(result):
    if result.findings or any(map(result.stalls_that_are, verdicts.FAULTS)):
        return "FALSE"
    return "FAILED" if result.failed else "ok"


def in_words(result):
    said = []
    if result.broken:
        return "BROKEN  %s: %s" % (result.setting, result.broken)
    for rule, count in collections.Counter(one["finding"]["rule"] for one in result.findings).items():
        said.append("%d × %s" % (count, rule))
    for verdict in verdicts.STALLS:
        count = len(result.stalls_that_are(verdict))
        said += ["%d stalls %s" % (count, verdict)] if count else []
    said += ["%d failed" % len(result.failed)] if result.failed else []
    counted = "%s: %d dumps, %.0f s watched" % (result.setting, result.dumps, result.watched_s)
    return "%-7s %s" % (label(result), "; ".join([counted, ", ".join(said)] if said else [counted]))


TITLES = {
    verdicts.INVENTED: "Stalls that were invented",
    verdicts.BLAMED: "Stalls that are blamed on the program while processors were short",
    verdicts.OWN: "Stalls that the programs made themselves",
    verdicts.UNKNOWN: "Stalls of unknown cause",
}
COLUMNS = "settings", "broken", "dumps", "watched", "failed", "findings", *verdicts.STALLS, "info"


def row(results):
    stalls = [len([one for result in results for one in result.stalls_that_are(verdict)]) for verdict in verdicts.STALLS]
    return [
        len(results), sum(bool(one.broken) for one in results), sum(one.dumps for one in results),
        "%.1f min" % (sum(one.watched_s for one in results) / 60), sum(len(one.failed) for one in results),
        sum(len(one.findings) for one in results), *stalls, sum(sum(one.info.values()) for one in results),
    ]


def show(results):
    rows = []
    for program in dict.fromkeys(one.program for one in results):
        rows.append([program, *row([one for one in results if one.program == program])])
    rows.append(["in sum", *row(results)])
    print("%65s %s" % ("", " stalls ".center(40, "-")))
    for cells in [["", *COLUMNS], *rows]:
        print("%-16s %8s %6s %6s %8s %6s %8s  %8s %7s %6s %7s %7s %6s" % tuple(cells))
    show_details(results)


def show_details(results):
    by_rule = collections.OrderedDict()
    for result in results:
        for one in result.findings:
            by_rule.setdefault((one["finding"]["rule"], one["finding"]["severity"]), []).append((result, one))
    if by_rule:
        print("\nFindings that are false")
    for (rule, severity), said in sorted(by_rule.items(), key=lambda item: -len(item[1])):
        settings = collections.Counter(result.setting for result, _ in said)
        result, first = said[0]
        print("  %d × %s %s" % (len(said), severity, rule))
        print("      first in a %s of %s: %s" % ("dump" if first["in"] == "dump" else "watch", result.setting, first["finding"]["message"]))
        print("      in " + ", ".join("%s (%d)" % item for item in settings.most_common(8)))
    for verdict, title in TITLES.items():
        show_stalls(title, [(result, one) for result in results for one in result.stalls_that_are(verdict)])
    failed = [(result, why) for result in results for why in result.failed]
    if failed:
        print("\nFailed")
    for (setting, why), count in collections.Counter((result.setting, why) for result, why in failed).items():
        print("  %d × %s: %s" % (count, setting, why))
    broken = [one for one in results if one.broken]
    if broken:
        print("\nPrograms that did not do what they should")
    for one in broken:
        print("  %s: %s" % (one.setting, one.broken))
    info = sum((one.info for one in results), collections.Counter())
    if info:
        print("\nFindings of severity info, in dumps and watches: " + ", ".join("%s %d" % item for item in info.most_common()))


def show_stalls(title, said):
    """Stalls by cause, the longest of each."""
    groups = collections.OrderedDict()
    for result, one in sorted(said, key=lambda item: -item[1]["stall"]["duration_ms"]):
        groups.setdefault(one["stall"]["cause"], []).append((result, one))
    if groups:
        print("\n" + title)
    for cause, group in sorted(groups.items(), key=lambda item: -len(item[1])):
        print("  %d × %s" % (len(group), cause))
        for result, one in group[:SHOWN_STALLS]:
            stall, site = one["stall"], one["stall"].get("site") or {}
            at = "%s:%s" % (site.get("function"), site.get("line"))
            print("      %s: %.0f ms, %s at %s" % (result.setting, stall["duration_ms"], stall.get("cause_detail"), at))
            print("          %s; evidence %s" % (one["why"], json.dumps(stall.get("evidence"))))
        settings = collections.Counter(result.setting for result, _ in group)
        print("      in " + ", ".join("%s (%d)" % item for item in settings.most_common(8)))


def as_json(results, skipped, loaded):
    def plain(result):
        return {**dataclasses.asdict(result), "info": dict(result.info), "sound": result.is_sound}

    sound = all(one.is_sound for one in results)
    return {"loaded": loaded, "sound": sound, "skipped": skipped, "results": [plain(one) for one in results]}
