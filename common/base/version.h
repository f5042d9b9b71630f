/* Which release this is, as meson.build says it. */
#pragma once

extern const char ringside_version[]; /* "0.1.0" */
