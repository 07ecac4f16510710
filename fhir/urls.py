"""Every URL of https://hl7.org/fhir/R4/http.html, in that page's order."""

from __future__ import annotations

from django.urls import re_path

from .views import InstanceViewSet, SystemViewSet, TypeViewSet

TYPE = r"^/(?P<type>[A-Z][A-Za-z]*)"
ID = TYPE + r"/(?P<id>[^/_$][^/]*)"
NAME = r"/\$(?P<name>[a-z][a-z\-]*)/?$"

urlpatterns = [
    re_path(
        ID + r"/?$",
        InstanceViewSet.as_view(
            {"get": "read", "put": "update", "patch": "patch_instance", "delete": "delete_instance"}
        ),
    ),
    re_path(ID + r"/_history/(?P<version>[^/]+)/?$", InstanceViewSet.as_view({"get": "vread"})),
    re_path(
        TYPE + r"/?$",
        TypeViewSet.as_view(
            {
                "get": "search",
                "post": "create",
                "put": "conditional_update",
                "patch": "conditional_patch",
                "delete": "conditional_delete",
            }
        ),
    ),
    re_path(TYPE + r"/_search/?$", TypeViewSet.as_view({"post": "search_post"})),
    re_path(r"^/metadata/?$", SystemViewSet.as_view({"get": "capabilities"})),
    re_path(r"^/?$", SystemViewSet.as_view({"get": "search", "post": "bundle"})),
    re_path(r"^/_search/?$", SystemViewSet.as_view({"post": "search_post"})),
    re_path(ID + r"/_history/?$", InstanceViewSet.as_view({"get": "history"})),
    re_path(TYPE + r"/_history/?$", TypeViewSet.as_view({"get": "type_history"})),
    re_path(r"^/_history/?$", SystemViewSet.as_view({"get": "history"})),
    re_path(ID + r"/(?P<member>[A-Z][A-Za-z]*|\*)/?$", InstanceViewSet.as_view({"get": "compartment"})),
    re_path(ID + r"/(?P<member>[A-Z][A-Za-z]*|\*)/_search/?$", InstanceViewSet.as_view({"post": "compartment_post"})),
    re_path(
        ID + r"/_history/(?P<version>[^/]+)" + NAME,
        InstanceViewSet.as_view({"get": "operation", "post": "operation"}),
    ),
    re_path(ID + NAME, InstanceViewSet.as_view({"get": "operation", "post": "operation"})),
    re_path(TYPE + NAME, TypeViewSet.as_view({"get": "type_operation", "post": "type_operation"})),
    re_path("^" + NAME, SystemViewSet.as_view({"get": "operation", "post": "operation"})),
    re_path(
        r"^(?P<path>/.*)$",
        SystemViewSet.as_view(dict.fromkeys(("get", "post", "put", "patch", "delete"), "unknown")),
    ),
]
