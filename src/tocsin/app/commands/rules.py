"""Rules, and files of them."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tocsin.app.commands.asking import all_items
from tocsin.app.commands.options import DEFAULT_DATA_DIR, AsJson, Config, DataDir
from tocsin.app.commands.printing import print_json, print_table

app = typer.Typer(help="What is watched, and when it is wrong.", no_args_is_help=True)


@app.command("list")
def rules_list(as_json: AsJson = False, config: Config = None, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """List the rules."""
    rules = all_items(config, data_dir, "/api/rules")
    if as_json:
        print_json({"items": rules, "next": None})
    else:
        print_table(rules, ["id", "name", "expr", "duration", "severity", "enabled", "state"])


@app.command("export")
def rules_export(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Into this file, not to the terminal.")] = None,
    config: Config = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Write the rules that are on as a rule file, for Prometheus, promtool or another tocsin."""
    from tocsin.app.rule_files import exported

    rules = all_items(config, data_dir, "/api/rules")
    text = exported(rules)
    off = sum(not rule["enabled"] for rule in rules)
    if off:
        print(f"{off} rules that are off are left out.", file=sys.stderr)
    if output is None:
        print(text, end="")
    else:
        output.write_text(text, encoding="utf-8")


RuleFiles = Annotated[list[Path], typer.Argument(metavar="FILE…", help="Files in Prometheus' format.")]


@app.command("check")
def rules_check(files: RuleFiles, as_json: AsJson = False) -> None:
    """Check rule files: every problem is told with its line and column. Needs no server."""
    from tocsin.app.rule_files import check_files

    checked = check_files(files)
    if as_json:
        print_json({"items": checked, "next": None})
    for one in checked if not as_json else ():
        print(f"Checking {one.file}")
        for problem in one.problems:
            print(f"  {problem}")
        for warning in one.warnings:
            print(f"  warning: {warning}")
        print(f"  FAILED: {len(one.problems)} problems" if one.problems else f"  SUCCESS: {one.rules} rules found")
    if any(one.problems for one in checked):
        raise typer.Exit(1)


@app.command("test")
def rules_test(
    files: RuleFiles,
    run: Annotated[str, typer.Option(help="Only tests whose name this regular expression finds.")] = "",
    as_json: AsJson = False,
) -> None:
    """Run the unit tests of rules, in Prometheus' format of test files. Needs no server."""
    from tocsin.app.rule_files import failure_lines, run_tests

    tested = run_tests(files, run)
    if as_json:
        print_json({"items": [{"passed": each.passed, **asdict(each)} for each in tested], "next": None})
    for file in dict.fromkeys(map(str, files)) if not as_json else ():
        print(f"Unit testing {file}")
        wrong = [each for each in tested if each.file == file and not each.passed]
        for each in wrong:
            print(f"  FAILED: {each.name}" if each.name else "  FAILED")
            for line in (*map(str, each.problems), *(line for one in each.failures for line in failure_lines(one))):
                print(f"    {line}")
        if not wrong:
            print(f"  SUCCESS: {sum(each.file == file for each in tested)} tests")
    if not all(each.passed for each in tested):
        raise typer.Exit(1)
