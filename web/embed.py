"""embed.py OUT FILE...: files as C arrays, with a tag of their content each, for worker-sse/pages.c."""

import hashlib
import os
import sys

out, *files = sys.argv[1:]
lines = ["/* Made by web/embed.py. */", "#pragma once", "#include <stdint.h>"]
for path in files:
    with open(path, "rb") as file:
        data = file.read()
    name = "web_" + os.path.basename(path).replace(".", "_").replace("-", "_")
    lines.append(f'#define {name}_tag "\\"{hashlib.sha256(data).hexdigest()[:16]}\\""')
    lines.append(f"static const uint8_t {name}[{len(data)}] = {{")
    lines += [",".join(map(str, data[i:i + 32])) + "," for i in range(0, len(data), 32)]
    lines.append("};")
with open(out, "w") as file:
    file.write("\n".join(lines) + "\n")
