/* Makes a program that Solana's runtime takes (SBPF version 3, SIMD-0189) of what `clang -target
 * bpf` compiled: one section of code, constants before it, calls within it.
 *
 *     solana_pack IN.o OUT.so
 *
 * A file has two segments: constants at address 0, code at 2^32. */
#include <elf.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INSTRUCTION = 8, CONSTANTS_MAX = 1 << 16, SECTIONS_MAX = 256, VERSION = 3 };
static const uint64_t CODE_AT = 1ull << 32;

struct object {
	uint8_t *bytes;
	size_t len;
	const Elf64_Ehdr *header;
	const Elf64_Shdr *sections;
	const Elf64_Sym *symbols;
	size_t symbols_count;
	const char *names; /* of symbols */
	int code;          /* section */
	uint8_t constants[CONSTANTS_MAX];
	uint64_t constants_len, constants_at[SECTIONS_MAX]; /* UINT64_MAX: none in this section */
};

static void __attribute__((noreturn, format(printf, 1, 2))) fatal(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(1);
}

static void read_object(struct object *o, const char *path)
{
	FILE *file = fopen(path, "rb");
	if (file == NULL || fseek(file, 0, SEEK_END) != 0)
		fatal("%s cannot be read", path);
	o->len = (size_t)ftell(file);
	rewind(file);
	o->bytes = malloc(o->len);
	if (o->bytes == NULL || fread(o->bytes, 1, o->len, file) != o->len ||
	    o->len < sizeof *o->header)
		fatal("%s cannot be read", path);
	fclose(file);
	o->header = (const Elf64_Ehdr *)o->bytes;
	o->sections = (const Elf64_Shdr *)(o->bytes + o->header->e_shoff);
	if (o->header->e_machine != EM_BPF || o->header->e_shnum > SECTIONS_MAX)
		fatal("%s is no object of -target bpf", path);
}

static const char *section_name(const struct object *o, const Elf64_Shdr *section)
{
	const Elf64_Shdr *names = &o->sections[o->header->e_shstrndx];
	return (const char *)o->bytes + names->sh_offset + section->sh_name;
}

static void add_constants(struct object *o, int i)
{
	const Elf64_Shdr *s = &o->sections[i];
	uint64_t align = s->sh_addralign != 0 ? s->sh_addralign : 1,
	         at = (o->constants_len + align - 1) / align * align;
	if (at + s->sh_size > sizeof o->constants)
		fatal("too many constants");
	memcpy(o->constants + at, o->bytes + s->sh_offset, s->sh_size);
	o->constants_at[i] = at;
	o->constants_len = at + s->sh_size;
}

static void look_at_sections(struct object *o)
{
	o->code = -1;
	for (int i = 0; i < o->header->e_shnum; i++) {
		const Elf64_Shdr *s = &o->sections[i];
		const char *name = section_name(o, s);
		bool code = s->sh_type == SHT_PROGBITS && (s->sh_flags & SHF_EXECINSTR) &&
		            s->sh_size > 0;
		o->constants_at[i] = UINT64_MAX;
		if (code && o->code >= 0)
			fatal("more code than one section: %s", name);
		if (code)
			o->code = i;
		else if (strncmp(name, ".rodata", 7) == 0)
			add_constants(o, i);
		else if ((s->sh_flags & SHF_WRITE) && s->sh_size > 0)
			fatal("what can be written has no place: %s", name);
		if (s->sh_type == SHT_SYMTAB) {
			o->symbols = (const Elf64_Sym *)(o->bytes + s->sh_offset);
			o->symbols_count = s->sh_size / sizeof *o->symbols;
			o->names = (const char *)o->bytes + o->sections[s->sh_link].sh_offset;
		}
	}
	if (o->code < 0 || o->symbols == NULL)
		fatal("no code");
}

/* The address of a constant, in the two halves of an instruction that loads 64 bits. */
static void place_constant(const struct object *o, const Elf64_Sym *symbol, uint8_t *at)
{
	int32_t addend;
	if (symbol->st_shndx >= o->header->e_shnum ||
	    o->constants_at[symbol->st_shndx] == UINT64_MAX)
		fatal("neither code nor constant: %s", o->names + symbol->st_name);
	memcpy(&addend, at + 4, sizeof addend);
	uint64_t address = o->constants_at[symbol->st_shndx] + symbol->st_value + (uint64_t)addend;
	memcpy(at + 4, &address, 4);
	memcpy(at + INSTRUCTION + 4, (uint8_t *)&address + 4, 4);
}

/* Relative to the next instruction; the source register says that it is. */
static void place_call(const struct object *o, const Elf64_Sym *symbol, uint64_t from, uint8_t *at)
{
	int32_t target;
	if (symbol->st_shndx != o->code)
		fatal("not defined: %s", o->names + symbol->st_name);
	memcpy(&target, at + 4, sizeof target);
	target = ELF64_ST_TYPE(symbol->st_info) == STT_SECTION
	                 ? target + 1
	                 : (int32_t)(symbol->st_value / INSTRUCTION);
	target -= (int32_t)(from / INSTRUCTION) + 1;
	at[1] = (uint8_t)((at[1] & 0x0f) | 0x10);
	memcpy(at + 4, &target, sizeof target);
}

static void relocate(struct object *o)
{
	enum { LOAD_64 = 1, CALL_32 = 10 };
	uint8_t *code = o->bytes + o->sections[o->code].sh_offset;
	for (int i = 0; i < o->header->e_shnum; i++) {
		const Elf64_Shdr *s = &o->sections[i];
		if (s->sh_type != SHT_REL || (int)s->sh_info != o->code)
			continue;
		const Elf64_Rel *all = (const Elf64_Rel *)(o->bytes + s->sh_offset);
		for (size_t k = 0; k < s->sh_size / sizeof *all; k++) {
			const Elf64_Sym *symbol = &o->symbols[ELF64_R_SYM(all[k].r_info)];
			uint8_t *at = code + all[k].r_offset;
			if (ELF64_R_TYPE(all[k].r_info) == LOAD_64)
				place_constant(o, symbol, at);
			else if (ELF64_R_TYPE(all[k].r_info) == CALL_32)
				place_call(o, symbol, all[k].r_offset, at);
			else
				fatal("a relocation of another kind");
		}
	}
}

static uint64_t entry_of(const struct object *o)
{
	for (size_t i = 0; i < o->symbols_count; i++)
		if (o->symbols[i].st_shndx == o->code &&
		    strcmp(o->names + o->symbols[i].st_name, "entrypoint") == 0)
			return o->symbols[i].st_value;
	fatal("no entrypoint");
}

static void write_program(struct object *o, const char *path)
{
	const Elf64_Shdr *code = &o->sections[o->code];
	o->constants_len = (o->constants_len + 7) & ~7ull;
	Elf64_Half segments = o->constants_len != 0 ? 2 : 1;
	uint64_t at = sizeof(Elf64_Ehdr) + segments * sizeof(Elf64_Phdr);
	Elf64_Ehdr header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
	                     .e_type = ET_DYN,
	                     .e_machine = EM_BPF,
	                     .e_version = EV_CURRENT,
	                     .e_entry = CODE_AT + entry_of(o),
	                     .e_phoff = sizeof header,
	                     .e_flags = VERSION,
	                     .e_ehsize = sizeof header,
	                     .e_phentsize = sizeof(Elf64_Phdr),
	                     .e_phnum = segments};
	Elf64_Phdr constants = {PT_LOAD, PF_R, at, 0, 0, o->constants_len, o->constants_len, 0};
	Elf64_Phdr text = {PT_LOAD, PF_X,          at + o->constants_len, CODE_AT,
	                   CODE_AT, code->sh_size, code->sh_size,         0};
	FILE *file = fopen(path, "wb");
	if (file == NULL)
		fatal("%s cannot be written", path);
	fwrite(&header, sizeof header, 1, file);
	if (segments == 2)
		fwrite(&constants, sizeof constants, 1, file);
	fwrite(&text, sizeof text, 1, file);
	fwrite(o->constants, 1, o->constants_len, file);
	fwrite(o->bytes + code->sh_offset, 1, code->sh_size, file);
	if (fclose(file) != 0)
		fatal("%s cannot be written", path);
}

int main(int argc, char **argv)
{
	static struct object object;
	if (argc != 3)
		fatal("solana_pack IN.o OUT.so");
	read_object(&object, argv[1]);
	look_at_sections(&object);
	relocate(&object);
	write_program(&object, argv[2]);
	free(object.bytes);
	return 0;
}
