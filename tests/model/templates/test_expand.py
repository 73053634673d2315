"""What Prometheus' own promtool makes of these templates, word for word, unless a test says otherwise."""

import pytest

from tocsin.model.templates.errors import TemplateError
from tocsin.model.templates.expand import AlertData, Answers, Wanted, expand, parse_template
from tocsin.model.templates.values import TemplateSample

LABELS = {"__name__": "up", "job": "a", "x": "y"}
UP = TemplateSample(LABELS, 2.0)
ANSWERS: Answers = {
    "up": (UP,),
    "none": (),
    "bad": "1:5: parse error: unexpected end of input",
    "two": (TemplateSample({"job": "b"}, 1.0), TemplateSample({"job": "a"}, 7.5)),
}
DATA = AlertData(LABELS, 2.0, {"site": "north"}, "http://bell.example/tocsin")


def made(text: str, value: float = 2.0) -> str | Wanted:
    data = AlertData(DATA.labels, value, DATA.external_labels, DATA.external_url)
    return expand("A", text, data, 1_435_065_584_128, ANSWERS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no template { } }}", "no template { } }}"),
        ("{{ $labels.job }} {{ $value }} {{ .Labels.x }} {{ .Value }}", "a 2 y 2"),
        ("{{ $externalLabels.site }} {{ $externalURL }}", "north http://bell.example/tocsin"),
        ("{{ $labels.nope }}|{{ .Labels }}", "|map[__name__:up job:a x:y]"),
        ("a  {{- /* said to nobody */ -}}  b", "ab"),
        ("a {{- $labels.job -}} \n b {{ 3 -}} c", "aab 3c"),
        ("{{ .Labels.job | toUpper | printf `%s!` }}", "A!"),
        ("{{ if gt $value 1.0 }}high{{ else if gt $value 0.5 }}mid{{ else }}low{{ end }}", "high"),
        ('{{ if and 1 0 }}a{{ else if or 0 "x" }}b{{ else }}c{{ end }}', "b"),
        ('{{ if eq $labels.job "b" "a" }}yes{{ end }}{{ if not true }}no{{ end }}', "yes"),
        (
            '{{ and 1 "" 2 }}|{{ or 0 "" }}|{{ ne 1 2 }} {{ lt 1 2 }} {{ le 2 2 }} {{ ge 2.0 2.0 }}',
            "||true true true true",
        ),
        ('{{ with $x := "q" }}{{ $x }}{{ . }}{{ end }}{{ with "" }}x{{ else }}empty{{ end }}', "qqempty"),
        ('{{ define "t" }}[{{ . }}]{{ end }}{{ template "t" $value }}{{ template "t" }}', "[2][<no value>]"),
        ('{{ block "t" .Labels.job }}<{{ . }}>{{ end }}', "<a>"),
        ("{{ range $k, $v := $labels }}{{ $k }}={{ $v }},{{ end }}", "__name__=up,job=a,x=y,"),
        ('{{ range query "two" }}{{ .Labels.job }}:{{ .Value }} {{ end }}', "b:1 a:7.5 "),
        ('{{ range $i, $e := query "two" }}{{ $i }}{{ $e.Value }} {{ end }}', "01 17.5 "),
        ('{{ range query "none" }}x{{ else }}nothing{{ end }}', "nothing"),
        (
            "{{ range 9 }}{{ break }}{{ end }}{{ range 3 }}{{ if eq . 1 }}{{ continue }}{{ end }}{{ . }}{{ end }}",
            "02",
        ),
        ("{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ $y := 3 }}{{ end }}{{ $x }}", "2"),
        ('{{ query "two" | sortByLabel "job" | first | label "job" }}', "a"),
        ('{{ query "two" | first | value | printf "%.1f" }} {{ (query "two" | first).Labels.job }}', "1.0 b"),
        (
            '{{ len $labels }} {{ len "äb" }} {{ index $labels "job" }} {{ index "abc" 1 }} {{ slice "abcdef" 1 3 }}',
            "3 3 a 98 bc",
        ),
        ('{{ print 1 2 "a" 3 4.0 }}|{{ println "x" 1 }}', "1 2a3 4|x 1\n"),
        (
            "{{ 1e6 }} {{ 123456789.0 }} {{ 1e30 }} {{ 0.00001 }} {{ 1.0 }} {{ 0x1F }} {{ 'a' }}",
            "1e+06 1.23456789e+08 1e+30 1e-05 1 31 97",
        ),
        (
            '{{ printf "%d %s %v %5.1f|%-5s|%05d %x %q %T" $value $labels.x 3 2.0 "a" 7 255 "q" $value }}',
            '%!d(float64=2) y 3   2.0|a    |00007 ff "q" float64',
        ),
        (
            '{{ printf "%+v|%+d|% d|%08.3f|%x|%X|%c|%q|%U|%s|%d" 1.5 3 4 -3.14159 "hi" 255 65 65 65 3 "x" }}',
            "1.5|+3| 4|-003.142|6869|FF|A|'A'|U+0041|%!s(int=3)|%!d(string=x)",
        ),
        (
            '{{ printf "%s" }} {{ printf "a" 1 }} {{ printf "%" }} {{ printf "%6.2f%%" 3.14159 }}',
            "%!s(MISSING) a%!(EXTRA int=1) %!(NOVERB)   3.14%",
        ),
        ('{{ html "<a&\\"" }} {{ js "a\'b<" }} {{ urlquery "a b&c" }}', "&lt;a&amp;&#34; a\\'b\\u003C a+b%26c"),
        (
            "{{ humanize 1234567.0 }} {{ humanize 0.00123 }} {{ humanize1024 1048576.0 }} {{ humanize 0.0 }}",
            "1.235M 1.23m 1Mi 0",
        ),
        (
            "{{ humanizeDuration 3661.5 }} {{ humanizeDuration 0.0015 }} {{ humanizeDuration -90061.0 }}",
            "1h 1m 1s 1.5ms -1d 1h 1m 1s",
        ),
        (
            "{{ humanizePercentage 0.12345 }} {{ humanizeTimestamp 1435065584.128 }}",
            "12.35% 2015-06-23 13:19:44.128 +0000 UTC",
        ),
        (
            '{{ $value | toTime }} {{ (toTime $value).Format "15:04:05 Jan 2" }} {{ (toTime 1e9).Year }}',
            "1970-01-01 00:00:02 +0000 UTC 00:00:02 Jan 1 2001",
        ),
        ('{{ title "hello wORLD foo-bar" }} {{ toLower "ÄB" }} {{ match "a.*" "cab" }}', "Hello WORLD Foo-Bar äb true"),
        ('{{ reReplaceAll "(a)(b)" "$2${1}x" "abab" }} {{ reReplaceAll "a" "$$" "a" }}', "baxbax $"),
        (
            '{{ stripPort "[::1]:80" }} {{ stripDomain "a.b.c:80" }} {{ stripDomain "1.2.3.4:80" }}',
            "::1 a:80 1.2.3.4:80",
        ),
        (
            '{{ parseDuration "1h30m" }} {{ now }} {{ (args 1 "b").arg1 }} {{ args 1 "b" }}',
            "5400 1.435065584128e+09 b map[arg0:1 arg1:b]",
        ),
        ("{{ urlquery nil }} {{ html nil 1 }}", "%3Cno+value%3E &lt;no value&gt;1"),
        ("{{ externalURL }} {{ pathPrefix }}", "http://bell.example/tocsin /tocsin"),
        (
            '{{ graphLink "up{a=\\"b\\"}" }} {{ tableLink "up" }} {{ safeHtml "<b>" }}',
            "/graph?g0.expr=up%7Ba%3D%22b%22%7D&g0.tab=0 /graph?g0.expr=up&g0.tab=1 <b>",
        ),
    ],
)
def test_a_template_becomes_what_prometheus_makes_of_it(text: str, expected: str) -> None:
    assert made(text) == expected


@pytest.mark.parametrize(
    ("text", "where", "why"),
    [
        (
            "{{ gt $value 1 }}",
            '115: executing "__alert_A" at <gt $value 1>',
            "error calling gt: incompatible types for comparison",
        ),
        (
            "{{ $value | toUpper }}",
            '124: executing "__alert_A" at <toUpper>',
            "wrong type for value; expected string; got float64",
        ),
        ("{{ toUpper 3 }}", '123: executing "__alert_A" at <3>', "expected string; found 3"),
        (
            '{{ "a" | toUpper "b" }}',
            '121: executing "__alert_A" at <toUpper>',
            "wrong number of args for toUpper: want 1 got 2",
        ),
        (
            "{{ .Foo }}",
            '115: executing "__alert_A" at <.Foo>',
            (
                "can't evaluate field Foo in type struct { Labels map[string]string; "
                "ExternalLabels map[string]string; ExternalURL string; Value float64 }"
            ),
        ),
        (
            '{{ query "none" | first | value }}',
            '130: executing "__alert_A" at <first>',
            "error calling first: first() called on vector with no elements",
        ),
        (
            '{{ humanize "x" }}',
            '115: executing "__alert_A" at <humanize "x">',
            'error calling humanize: strconv.ParseFloat: parsing "x": invalid syntax',
        ),
        (
            '{{ index (query "up") 5 }}',
            '115: executing "__alert_A" at <index (query "up") 5>',
            "error calling index: index out of range: 5",
        ),
        (
            '{{ query "bad" }}',
            '115: executing "__alert_A" at <query "bad">',
            "error calling query: 1:5: parse error: unexpected end of input",
        ),
        (
            "{{ index nil }}",
            '115: executing "__alert_A" at <index nil>',
            "error calling index: index of untyped nil",
        ),
        (
            "{{ lt true false }}",
            '115: executing "__alert_A" at <lt true false>',
            "error calling lt: invalid type for comparison",
        ),
        (
            "{{ humanizeTimestamp 1e30 }}",
            '115: executing "__alert_A" at <humanizeTimestamp 1e30>',
            (
                "error calling humanizeTimestamp: 1e+30 cannot be represented as a nanoseconds timestamp "
                "since it overflows int64"
            ),
        ),
    ],
)
def test_a_template_that_fails_says_what_prometheus_says(text: str, where: str, why: str) -> None:
    told = f"error executing template __alert_A: template: __alert_A:1:{where}: {why}"
    assert made(text) == f"<error expanding template: {told}>"


@pytest.mark.parametrize(
    ("text", "offset", "why"),
    [
        ("{{ if }}", 6, "missing value for if"),
        ("ab{{ nope }}", 5, 'function "nope" not defined'),
        ("{{ $x }}", 3, 'undefined variable "$x"'),
        ("{{ if true }}x", 14, "unexpected EOF"),
        ("{{ end }}", 3, "unexpected {{end}}"),
        ("{{ $value ", 2, "unclosed action"),
        ("{{ /* x */ }}", 3, "unexpected '/' in an action"),
        ("{{/* x ", 2, "unclosed comment"),
        ('{{ "a }}', 3, "unterminated quoted string"),
        ("{{ (1 }}", 2, "unclosed left paren"),
        ("{{ 1 ) }}", 5, "unexpected right paren"),
        ("{{ break }}", 3, "{{break}} outside {{range}}"),
        ("{{ $value | 1 }}", 12, "non executable command in pipeline"),
        ('{{ print "a""b" }}', 12, 'unexpected <"b"> in operand'),
        ('{{ print "\\z" }}', 10, "unknown escape \\z in a string"),
        ("{{ 1__x }}", 6, "unexpected <x> in operand"),
        ("{{ define }}{{ end }}", 10, "unexpected <}}> in define clause"),
    ],
)
def test_a_template_that_cannot_be_parsed_says_where(text: str, offset: int, why: str) -> None:
    with pytest.raises(TemplateError) as wrong:
        parse_template(text)
    assert (str(wrong.value), wrong.value.offset) == (why, offset)


def test_a_template_that_cannot_be_parsed_still_gives_a_text() -> None:
    assert made("one\n{{ nope }}") == (
        "<error expanding template: error parsing template __alert_A: "
        'template: __alert_A:2: function "nope" not defined>'
    )


def test_a_query_without_an_answer_is_asked_for() -> None:
    text = '{{ query (printf "%s{job=%q}" "up" $labels.job) | first | value }}'
    assert made(text) == Wanted('up{job="a"}')
    assert expand("A", text, DATA, 0, {'up{job="a"}': (UP,)}) == "2"


def test_a_template_cannot_ask_without_end() -> None:
    answers = {str(at): () for at in range(50)}
    assert "more than 50 queries" in str(expand("A", '{{ query "up" }}', DATA, 0, answers))


@pytest.mark.parametrize(
    "text",
    [
        "{{ range 1000000 }}{{ end }}",
        "{{ range 10000 }}xxxxxxxxxx{{ end }}",
        '{{ $x := "aaaaaaaaaa" }}{{ range 100 }}{{ $x = print $x $x }}{{ end }}',
        '{{ define "t" }}{{ template "t" . }}{{ end }}{{ template "t" . }}',
        '{{ printf "%999999d" 1 }}',
        '{{ $x := printf "%9999d" 1 }}{{ reReplaceAll "" $x $x }}',
        "{{ " + "(" * 200 + "1" + ")" * 200 + " }}",
        "{{ if true }}" * 200 + "{{ end }}" * 200,
        "x" * 70_000 + "{{ 1 }}",
    ],
)
def test_a_template_ends_whatever_it_says(text: str) -> None:
    assert str(made(text)).startswith("<error expanding template: ")


@pytest.mark.parametrize("name", ["__class__", "fields", "labels", "at_ms", "keys", "__init__"])
def test_no_attribute_of_python_is_within_reach(name: str) -> None:
    for text in ("{{ .%s }}", '{{ (query "up" | first).%s }}', "{{ (toTime $value).%s }}", "{{ .Value.%s }}"):
        assert "can't evaluate field" in str(made(text % name))


def test_numbers_that_are_none_are_written_as_in_go() -> None:
    text = '{{ $value }} {{ humanize $value }} {{ printf "%.2f %5.1f" $value $value }} {{ humanizeDuration $value }}'
    assert made(text, float("inf")) == "+Inf +Inf +Inf  +Inf +Inf"
    assert made(text, float("-inf")) == "-Inf -Inf -Inf  -Inf -Inf"
    assert made(text, float("nan")) == "NaN NaN NaN   NaN NaN"
