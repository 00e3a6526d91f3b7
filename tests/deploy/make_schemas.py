#!/usr/bin/python3
"""make_schemas.py: the schemas that kubeconform checks manifests against, from what is on PyPI and in Go's modules.

usage: make_schemas.py TARGET CRD...

Run with a Python that has kubernetes-validate. Writes TARGET/vVERSION.0-strict for three versions of Kubernetes: the
oldest that the chart supports, one between, and the newest; and TARGET/crd of the files with CustomResourceDefinitions.
"""
import importlib.util
import json
import os
import pathlib
import sys

import yaml

VERSIONS = ("1.27", "1.32", "1.37")


def write(path, schema):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(schema, file)


def kubernetes(target):
    """As packaged, the references are absolute paths of a server: kubeconform only says that it finds no schema."""
    package = pathlib.Path(importlib.util.find_spec("kubernetes_validate").origin).parent
    for version in VERSIONS:
        folder = target / ("v%s.0-strict" % version)
        folder.mkdir(parents=True)
        for file in (package / "kubernetes-json-schema" / ("v%s.0-local-strict" % version)).glob("*.json"):
            schema = json.loads(file.read_text(encoding="utf-8").replace('"/api/_definitions.json#', '"_definitions.json#'))
            if isinstance(schema, dict):
                schema.pop("$id", None)
            write(folder / file.name, schema)
        if len(list(folder.iterdir())) < 100:
            sys.exit("make_schemas.py: kubernetes-validate has no schemas of Kubernetes %s" % version)


def strict(schema):
    """The schema, refusing what it does not name, as the API server does with fieldValidation=Strict."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: strict(value) for key, value in schema.items()}
    if schema.get("x-kubernetes-int-or-string") is True:
        found["type"] = ["integer", "string"]
        found.pop("anyOf", None)
    takes_all = schema.get("x-kubernetes-preserve-unknown-fields") is True
    if isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema and not takes_all:
        found["additionalProperties"] = False
    return found


def custom(target, files):
    folder = target / "crd"
    folder.mkdir()
    for file in files:
        with open(file, encoding="utf-8") as content:
            documents = list(yaml.safe_load_all(content))
        for crd in documents:
            if not crd or crd.get("kind") != "CustomResourceDefinition":
                continue
            for version in crd["spec"]["versions"]:
                schema = strict(version["schema"]["openAPIV3Schema"])
                # Of these two a definition names nothing, or not all.
                schema.setdefault("properties", {})["metadata"] = {"type": "object"}
                schema["properties"].update({"apiVersion": {"type": "string"}, "kind": {"type": "string"}})
                write(folder / ("%s_%s.json" % (crd["spec"]["names"]["kind"].lower(), version["name"])), schema)
    if not os.path.exists(folder / "scaledobject_v1alpha1.json"):
        sys.exit("make_schemas.py: no definition of a ScaledObject among the files")


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    target = pathlib.Path(sys.argv[1])
    kubernetes(target)
    custom(target, sys.argv[2:])


if __name__ == "__main__":
    main()
