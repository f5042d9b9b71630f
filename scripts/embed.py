"""embed.py OUT PREFIX FILE...: a header with each file as a C array PREFIX_name_ext. A NUL follows the content, which
PREFIX_name_ext_len does not count; PREFIX_name_ext_tag is an entity tag of it. JSDoc on lines of its own (types, words
for whoever reads the sources) is left out."""

import hashlib
import os
import re
import sys

out, prefix, *files = sys.argv[1:]
lines = ["/* Made by scripts/embed.py. */", "#pragma once", "#include <stdint.h>"]
for path in files:
    with open(path, "rb") as file:
        data = file.read()
    if path.endswith(".js"):
        data = re.sub(rb"^[ \t]*/\*\*.*?\*/[ \t]*\n", b"", data, flags=re.M | re.S)
    name = prefix + "_" + re.sub("[^a-z0-9]", "_", os.path.basename(path))
    lines.append(f'#define {name}_tag "\\"{hashlib.sha256(data).hexdigest()[:16]}\\""')
    lines.append(f"#define {name}_len {len(data)}")
    lines.append(f"static const uint8_t {name}[{len(data) + 1}] = {{")
    lines += [",".join(map(str, data[i:i + 32])) + "," for i in range(0, len(data), 32)]
    lines.append("0};")
with open(out, "w") as file:
    file.write("\n".join(lines) + "\n")
