"""HTTP and interactions: read the request, call one interaction, answer (https://hl7.org/fhir/R4/http.html)."""

from __future__ import annotations

from contextlib import suppress

from django.utils.translation import gettext_lazy as _

from accounts.scopes import Scope

from . import content, ids, operations
from .definitions.structure import TYPE_NUMBER
from .exceptions import (
    InvalidRequest,
    NotFound,
    Unavailable,
)
from .interactions import (
    Answer,
    Context,
    batch,
    capabilities,
    conditional,
    create,
    delete,
    history,
    read,
    search,
    transaction,
)
from .interactions import update as updating
from .search import custom
from .viewset import FhirViewSet, Pairs, base_url_of


def known_type(name: str) -> str:
    """The type, if R4 has it. Raises NotFound."""
    if name not in TYPE_NUMBER:
        raise NotFound(_("FHIR R4 has no resource type “%(type)s”.") % {"type": name}, code="not-supported")
    return name


def possible_id(resource_id: str) -> str:
    """The id, if any resource could have it. Raises NotFound."""
    if not ids.is_legal(resource_id):
        raise NotFound(_("There is no such record."))
    return resource_id


class InstanceViewSet(FhirViewSet):
    """[base]/[type]/[id] and what lies under it."""

    def read(self, type: str, id: str) -> Answer:
        return read.read(known_type(type), possible_id(id), self.context(), self.conditions())

    def vread(self, type: str, id: str, version: str) -> Answer:
        return read.vread(known_type(type), possible_id(id), version, self.context(), self.conditions())

    def update(self, type: str, id: str) -> Answer:
        context = self.context()
        return updating.update(
            known_type(type),
            id,
            self.resource(),
            context,
            if_match=self.versions("HTTP_IF_MATCH"),
            if_none_match=self.versions("HTTP_IF_NONE_MATCH"),
        )

    def patch_instance(self, type: str, id: str) -> Answer:
        context, known = self.context(), known_type(type)
        return updating.patch(known, possible_id(id), self.change(), context, if_match=self.versions("HTTP_IF_MATCH"))

    def delete_instance(self, type: str, id: str) -> Answer:
        return delete.delete(known_type(type), possible_id(id), self.context(), if_match=self.versions("HTTP_IF_MATCH"))

    def history(self, type: str, id: str) -> Answer:
        return history.instance(known_type(type), possible_id(id), dict(self.pairs), self.context())

    def compartment(self, type: str, id: str, member: str) -> Answer:
        return self._compartment(type, id, member, self.pairs)

    def compartment_post(self, type: str, id: str, member: str) -> Answer:
        return self._compartment(type, id, member, self.form_pairs())

    def _compartment(self, type: str, id: str, member: str, pairs: Pairs) -> Answer:
        context = self.context()
        wanted = None if member == "*" else known_type(member)
        return search.search(wanted, pairs, context, compartment=(known_type(type), possible_id(id)))

    def operation(self, type: str, id: str, name: str, version: str | None = None) -> Answer:
        return _operation(self, name, type, possible_id(id), version)


class TypeViewSet(FhirViewSet):
    """[base]/[type]."""

    def search(self, type: str) -> Answer:
        return search.search(known_type(type), self.pairs, self.context())

    def search_post(self, type: str) -> Answer:
        context = self.context()
        return search.search(known_type(type), self.form_pairs(), context)

    def create(self, type: str) -> Answer:
        context, known = self.context(), known_type(type)
        if self.pairs:
            text = _("A create has no parameters; a condition comes in the header If-None-Exist.")
            raise InvalidRequest(text, expression=self.pairs[0][0])
        condition = self.http.META.get("HTTP_IF_NONE_EXIST")
        resource = self.resource()
        if condition is not None:
            return conditional.create(known, resource, condition, context)
        return create.create(known, resource, context)

    def conditional_update(self, type: str) -> Answer:
        context, known = self.context(), known_type(type)
        if_match = self.versions("HTTP_IF_MATCH")
        return conditional.update(known, self.resource(), self.query(), context, if_match=if_match)

    def conditional_patch(self, type: str) -> Answer:
        context, known = self.context(), known_type(type)
        if_match = self.versions("HTTP_IF_MATCH")
        return conditional.patch(known, self.query(), self.change(), context, if_match=if_match)

    def conditional_delete(self, type: str) -> Answer:
        context, known = self.context(), known_type(type)
        return conditional.delete(known, self.query(), context, if_match=self.versions("HTTP_IF_MATCH"))

    def type_history(self, type: str) -> Answer:
        return history.of_type(known_type(type), dict(self.pairs), self.context())

    def type_operation(self, type: str, name: str) -> Answer:
        return _operation(self, name, type)


class SystemViewSet(FhirViewSet):
    """[base]."""

    default_return = "minimal"

    def capabilities(self) -> Answer:
        mode = dict(self.pairs).get("mode", "full")
        context = Context(scope=NOBODY, base_url=base_url_of(self.http), request_id="", language=self.language)
        with suppress(Unavailable):  # without the records the statement is that of a moment ago
            custom.refresh(context.base_url)
        return capabilities.capabilities(context, mode, self.versions("HTTP_IF_NONE_MATCH"))

    def bundle(self) -> Answer:
        """A batch or a transaction, as Bundle.type says."""
        context = self.context()
        body, kind = self.body(), self.http.META.get("CONTENT_TYPE", "")
        first = content.parse_resource(body, kind)
        if first["resourceType"] != "Bundle" or first.get("type") not in ("batch", "transaction"):
            text = _("What is sent to the base is a Bundle of type batch or transaction.")
            raise InvalidRequest(text, expression="Bundle.type")
        if first["type"] == "batch":
            return batch.process(first, context)
        waiting = [first]
        # Another attempt starts from the request: references of the first were rewritten in place.
        return transaction.process(lambda: waiting.pop() if waiting else content.parse_resource(body, kind), context)

    def search(self) -> Answer:
        return search.search(None, self.pairs, self.context())

    def search_post(self) -> Answer:
        context = self.context()
        return search.search(None, self.form_pairs(), context)

    def history(self) -> Answer:
        return history.of_system(dict(self.pairs), self.context())

    def operation(self, name: str) -> Answer:
        return _operation(self, name)

    def unknown(self, path: str) -> Answer:
        """Everything that is no URL of http.html: 401 before 404, so that nobody learns what exists."""
        self.context()
        raise NotFound(_("There is nothing at this URL."), code="not-supported")


NOBODY = Scope("", "", "", ())


def _operation(view: FhirViewSet, name: str, *where: str | None) -> Answer:
    """Runs an operation at (type, id, version), as far as the URL names them."""
    kind, resource_id, version = (*where, None, None, None)[:3]
    context, if_match = view.context(), view.versions("HTTP_IF_MATCH")
    body = view.resource() if view.method == "POST" and view.body() else None
    return operations.perform(name, kind, resource_id, body, view.pairs, context, version=version, if_match=if_match)
