#!/usr/bin/env python3
"""Prints API.md: everything the package offers, as its own sources say it. Run it behind a change:

    clients/python/reference.py >clients/python/API.md
"""

import inspect
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "src"))

import ringside_client  # noqa: E402


def text_of(thing):
    return inspect.cleandoc(thing.__doc__ or "")


def parameter_of(parameter):
    """As it stands in the source: annotations are texts there."""
    stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    text = f"{stars}{parameter.name}: {parameter.annotation}"
    return text if parameter.default is parameter.empty else f"{text} = {parameter.default!r}"


def signature_of(name, thing):
    signature, parts, starred = inspect.signature(thing), [], False
    for parameter in signature.parameters.values():
        if parameter.kind == parameter.KEYWORD_ONLY and not starred:
            parts.append("*")
        starred = starred or parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL)
        if parameter.name != "self":
            parts.append(parameter_of(parameter))
    result = "" if signature.return_annotation in (None, "None", signature.empty) else " -> " + signature.return_annotation.strip("'\"")
    return f"{name}({', '.join(parts)}){result}"


def members_of(kind):
    """What is public and its own, in the order of the source."""
    for name, member in vars(kind).items():
        if name.startswith("_"):
            continue
        if isinstance(member, property):
            yield f"`{name}: {member.fget.__annotations__['return']}`", text_of(member)
        elif inspect.isfunction(member):
            yield f"`{signature_of(name, member)}`", text_of(member)


def module_of(thing):
    return thing.__module__.rpartition(".")[2]


def describe(name, kind):
    print(f"### {name}\n")
    if not inspect.isclass(kind):
        print(f"`{name} = {kind!r}`\n")
        return
    if issubclass(kind, Exception):
        print(f"An exception: `{kind.__bases__[0].__name__}`.\n")
    elif kind.__init__ is not object.__init__:
        print(f"`{signature_of(name, kind)}`\n")
    print(text_of(kind) + "\n")
    for heading, text in members_of(kind):
        print(f"- {heading}")
        if text:
            print("  " + text.replace("\n", "\n  "))
    print()


def main():
    print("# ringside_client\n\nMade from the sources by `clients/python/reference.py`.\n")
    print(text_of(ringside_client) + "\n")
    modules = {}
    for name in ringside_client.__all__:
        thing = getattr(ringside_client, name)
        modules.setdefault(module_of(thing) if inspect.isclass(thing) else "stream", []).append((name, thing))
    for module in sorted(modules):
        print(f"## {module}\n\n{text_of(sys.modules['ringside_client.' + module])}\n")
        for name, thing in modules[module]:
            describe(name, thing)


main()
