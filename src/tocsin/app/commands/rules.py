"""Rules, and files of them."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from tocsin.app.commands.asking import all_items, call
from tocsin.app.commands.options import DEFAULT_DATA_DIR, AsJson, Config, DataDir
from tocsin.app.commands.printing import print_json, print_table
from tocsin.model.errors import UserError

app = typer.Typer(help="What is watched, and when it is wrong.", no_args_is_help=True)

RuleFiles = Annotated[list[Path], typer.Argument(metavar="FILE…", help="Files in Prometheus' format.")]


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
    file: Annotated[str | None, typer.Option("--file", help="Instead, the uploaded file of this name.")] = None,
    config: Config = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Write the saved rules that are on as a rule file, for Prometheus, promtool or another tocsin."""
    from tocsin.app.rule_files import exported

    if file is not None:
        text = call(config, data_dir, "GET", _uploaded(file))["text"]
    else:
        rules = all_items(config, data_dir, "/api/rules")
        text = exported(rules)
        off = sum(not rule["enabled"] for rule in rules)
        if off:
            print(f"{off} rules that are off are left out.", file=sys.stderr)
    if output is None:
        print(text, end="")
    else:
        output.write_text(text, encoding="utf-8")


@app.command("groups")
def rules_groups(as_json: AsJson = False, config: Config = None, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """List the groups of rules, and how their last evaluations went."""
    groups = all_items(config, data_dir, "/api/rule-groups")
    if as_json:
        print_json({"items": groups, "next": None})
    elif not groups:
        print("There are no groups of rules.")
    else:
        failing = [sum(rule["health"] == "err" for rule in group["rules"]) for group in groups]
        rows = [
            {**group, "rules": len(group["rules"]), "failing": wrong, "file": group["file"] or "-"}
            for group, wrong in zip(groups, failing, strict=True)
        ]
        print_table(rows, ["file", "name", "interval", "rules", "failing", "missed", "evaluated_at"])


@app.command("import")
def rules_import(
    files: RuleFiles,
    name: Annotated[str, typer.Option(help="Under this name, for a single file; otherwise under its own.")] = "",
    config: Config = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Upload rule files: their rules are evaluated from then on. The same name again replaces the file."""
    from tocsin.app.rule_files import check_files

    if name and len(files) > 1:
        raise UserError("Say --name for one file at a time.")
    checked = check_files(files)
    for problem in (problem for one in checked for problem in one.problems):
        print(problem, file=sys.stderr)
    if any(one.problems for one in checked):
        raise UserError("Nothing was uploaded.")
    for file in files:
        text = file.read_text(encoding="utf-8")
        taken = call(config, data_dir, "PUT", _uploaded(name or file.name), json={"text": text})
        print(f"{taken['name']}: {taken['groups']} groups, {taken['rules']} rules.")


@app.command("files")
def rules_files(as_json: AsJson = False, config: Config = None, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """List the rule files, on the server's disk and uploaded, and what is wrong with them."""
    files = all_items(config, data_dir, "/api/rule-files")
    if as_json:
        print_json({"items": files, "next": None})
    elif not files:
        print("There are no rule files.")
    else:
        print_table(files, ["name", "uploaded", "groups", "rules", "updated_by", "updated_at"])
    for file in files if not as_json else ():
        for problem in file["problems"]:
            print(f"{file['name']}:{problem['line']}:{problem['column']}: {problem['message']}")


@app.command("delete-file")
def rules_delete_file(
    name: Annotated[str, typer.Argument(help="The uploaded file's name.")],
    config: Config = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Delete an uploaded rule file: open alerts of its rules are closed, what it records ends."""
    call(config, data_dir, "DELETE", _uploaded(name))
    print(f"Deleted {name}.", file=sys.stderr)


def _uploaded(name: str) -> str:
    return f"/api/rule-files/{quote(name, safe='')}"


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
