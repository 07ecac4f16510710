"""Narrative XHTML (https://hl7.org/fhir/R4/narrative.html#xhtml)."""

from __future__ import annotations

import pytest

from fhir.fhirpath import evaluate
from fhir.fhirpath.xhtml import problems


def div(content):
    return f'<div xmlns="http://www.w3.org/1999/xhtml">{content}</div>'


@pytest.mark.parametrize(
    "content",
    [
        "<p>Peso: 70 kg</p>",
        '<table class="grid" border="1"><tr><td colspan="2" align="left">a</td></tr></table>',
        '<a href="https://example.org">a</a><a href="#x">b</a><a href="Patient/1">c</a><a name="x">d</a>',
        '<img src="data:image/png;base64,AA==" alt="x"/>',
        '<p style="color: red">&nbsp;a&aacute;</p>',
        '<ol type="a" start="2"><li>a</li></ol><br/>b<hr/>',
        '<p xml:lang="es" dir="ltr">x</p>',
    ],
)
def test_what_may_be_there(content):
    assert problems(div(content)) == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (div("<script>alert(1)</script>"), "element script"),
        (div('<p onclick="x()">a</p>'), "attribute p.onclick"),
        (div('<a href="javascript:x()">a</a>'), "link a"),
        (div('<a href=" JavaScript:x()">a</a>'), "link a"),
        (div('<img src="data:text/html,x"/>'), "link img"),
        (div('<p style="width: expression(x)">a</p>'), "style p"),
        (div("<iframe/>a"), "element iframe"),
        (div("<form>a</form>"), "element form"),
        (div('<svg xmlns="http://www.w3.org/2000/svg">a</svg>'), "element svg"),
        (div(" \n "), "empty"),
        (div("<p>a"), "syntax"),
        ("<div>a</div>", "root"),
        ('<p xmlns="http://www.w3.org/1999/xhtml">a</p>', "root"),
        ('<!DOCTYPE x [<!ENTITY a "b">]>' + div("&a;"), "declaration"),
        (div("&unknown;"), "syntax"),
        ("", "syntax"),
    ],
)
def test_what_may_not(text, problem):
    assert problem in problems(text)


def test_html_checks():
    patient = {"resourceType": "Patient", "text": {"status": "generated", "div": div("a")}}
    assert evaluate("text.`div`.htmlChecks()", patient) == [True]
    patient["text"]["div"] = div("<script/>a")
    assert evaluate("text.`div`.htmlChecks()", patient) == [False]
    assert evaluate("text.where(status = 'x').`div`.htmlChecks()", patient) == []
