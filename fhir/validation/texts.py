"""What a person reads about the structure of a resource. Placeholders are named, so that translators may reorder."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

AN_OBJECT = _("an object")
A_LIST = _("a list")
NULL = _("null")
THE_VALUE = _("«%(value)s»")
AND_MORE = _("%(codes)s … and %(count)s more")

NOT_A_RESOURCE = _("a resource is a JSON object with a resourceType")
UNKNOWN_TYPE = _("«%(value)s» is not a resource type of FHIR R4")
OTHER_TYPE = _("a resource of type %(expected)s is expected here, not %(found)s")
UNKNOWN_ELEMENT = _("%(type)s has no element «%(key)s»")
MISSING = _("this element is required")
MISSING_CHOICE = _("this element is required, as one of: %(keys)s")
TWO_CHOICES = _("only one of these may be present: %(keys)s")
EMPTY_OBJECT = _("an object may not be empty; leave the element out instead")
EMPTY_LIST = _("a list may not be empty; leave the element out instead")
NULL_VALUE = _("null is not allowed here; leave the element out instead")
LONELY_NULL = _("null is only allowed where the list «_%(key)s» has extensions at the same place")
NOT_AN_OBJECT = _("an object of type %(type)s is expected, not %(found)s")
NOT_A_LIST = _("this element repeats, so it must be a list, not %(found)s")
NOT_SINGLE = _("this element does not repeat, so it must not be a list")
ONLY_ID = _("an element must have a value or children, not only an id")
NO_EXTENSION = _("an element without a value must have an extension")
EXTENSION_BOTH = _("an extension has either a value or extensions of its own, and exactly one of the two")

NOT_TEXT = _("a JSON string is expected for the type %(type)s, not %(found)s")
NOT_BOOLEAN = _("true or false is expected (without quotes), not %(found)s")
NOT_INTEGER = _("a whole JSON number is expected (without quotes), not %(found)s")
NOT_DECIMAL = _("a JSON number is expected (without quotes), not %(found)s")
OUT_OF_RANGE = _("%(value)s is outside the range of %(type)s: %(low)s to %(high)s")
EMPTY_TEXT = _("text may not be empty or only white space; leave the element out instead")
TOO_LONG = _("text may not be longer than 1,048,576 characters")
CONTROL_CHARACTER = _("«%(value)s» has control characters that are not allowed")
NO_SUCH_DAY = _("«%(value)s» is not a day of the calendar")
BAD_FORMAT = {
    "base64Binary": _("«%(value)s» is not base64"),
    "canonical": _("«%(value)s» is not a canonical URL: white space is not allowed"),
    "code": _("«%(value)s» is not a code: no white space at the start or the end, and only single spaces inside"),
    "date": _("«%(value)s» is not a date: YYYY, YYYY-MM or YYYY-MM-DD"),
    "dateTime": _(
        "«%(value)s» is not a date with time: YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm:ss with a time zone"
    ),
    "id": _("«%(value)s» is not an id: 1 to 64 of A-Z, a-z, 0-9, «-» and «.»"),
    "instant": _("«%(value)s» is not an instant: YYYY-MM-DDThh:mm:ss with a time zone"),
    "oid": _("«%(value)s» is not an OID such as urn:oid:1.2.3"),
    "time": _("«%(value)s» is not a time: hh:mm:ss"),
    "uri": _("«%(value)s» is not a URI: white space is not allowed"),
    "url": _("«%(value)s» is not a URL: white space is not allowed"),
    "uuid": _("«%(value)s» is not a UUID such as urn:uuid:c757873d-ec9a-4326-a141-556f43239520, in lower case"),
}

NOT_ONE_OF = _("«%(value)s» is not one of: %(codes)s")
NO_CODING = _("a coding from the value set %(value_set)s is required: %(codes)s")
NOT_A_CURRENCY = _("«%(value)s» is not a currency of ISO 4217, such as EUR")
NOT_A_MIME_TYPE = _("«%(value)s» is not a MIME type such as text/plain")
NOT_FROM_SYSTEM = _("a coding of the system %(system)s is required")

WRONG_TARGET = _("a reference to %(found)s is not allowed here, only to: %(targets)s")
WRONG_REFERENCE_TYPE = _("the type «%(type)s» does not agree with the reference «%(reference)s»")
NOT_CONTAINED = _("«%(reference)s» points to a contained resource that is not there")
NESTED_CONTAINED = _("a contained resource may not contain resources")
CONTAINED_META = _("a contained resource may not have meta.%(key)s")
UNUSED_CONTAINED = _("the contained resource «%(id)s» is not referred to, and does not refer to its container")
SAME_CONTAINED = _("two contained resources have the id «%(id)s»")

RULE = _("%(text)s (rule %(key)s)")
BROKEN_RULE = _("a rule of %(type)s is not kept: %(expression)s")
BAD_NARRATIVE = _("the narrative must be a well-formed XHTML div with only text and basic formatting: %(faults)s")
NARRATIVE_FAULTS = {
    "attribute": _("the attribute %(name)s is not allowed"),
    "declaration": _("declarations are not allowed"),
    "element": _("the element %(name)s is not allowed"),
    "empty": _("there is no text"),
    "link": _("the link of %(name)s is not allowed"),
    "root": _("the root must be a div of the XHTML namespace"),
    "style": _("the style of %(name)s is not allowed"),
    "syntax": _("it is not well-formed XML"),
}

ID_REQUIRED = _("an update needs the id of the resource")
ID_DIFFERS = _("the id «%(found)s» is not the id of the address, «%(expected)s»")
TOO_DEEP = _("the resource is nested too deeply")
