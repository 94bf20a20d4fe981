/*
 * Fields and parameters by name: the kernel says in BTF (/sys/kernel/btf) where they are.
 *
 * An expression is PARAMETER(->FIELD)* or, of an object of which a member is pointed to, PARAMETER@STRUCT.MEMBER->FIELD.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KINDS 20

struct btf_half {
	char *data;
	uint32_t hdr, type_off, type_len, str_off, str_len;
};

static struct btf_half base, module;
static struct btf_type { uint32_t name, info, size; } **types;
static uint32_t known, base_types;

static char *slurp(const char *path)
{
	size_t room = 1 << 20, len = 0, got;
	char *data = malloc(room);
	FILE *file = fopen(path, "r");

	if (!file)
		return NULL;
	while ((got = fread(data + len, 1, room - len, file)) > 0) {
		len += got;
		if (len == room)
			data = realloc(data, room *= 2);
	}
	fclose(file);
	return data;
}

static uint32_t kind(const struct btf_type *t) { return t->info >> 24 & 31; }
static uint32_t vlen(const struct btf_type *t) { return t->info & 0xffff; }
static uint32_t *rest(const struct btf_type *t) { return (uint32_t *)(t + 1); }

static const char *named(uint32_t offset)
{
	return offset < base.str_len ? base.data + base.hdr + base.str_off + offset :
				       module.data + module.hdr + module.str_off + offset - base.str_len;
}

static int btf_half(struct btf_half *half, const char *path)
{
	/* Words after the three that every type has: fixed, and for each of its vlen members. */
	static const uint8_t fixed[KINDS] = { [1] = 1, [3] = 3, [14] = 1, [17] = 1 };
	static const uint8_t each[KINDS] = { [4] = 3, [5] = 3, [6] = 2, [13] = 2, [15] = 3, [19] = 3 };
	char *at, *end;

	half->data = slurp(path);
	if (!half->data || *(uint16_t *)half->data != 0xeb9f)
		return -1;
	memcpy(&half->hdr, half->data + 4, 5 * sizeof(uint32_t));
	at = half->data + half->hdr + half->type_off;
	end = at + half->type_len;
	while (at < end) {
		struct btf_type *t = (struct btf_type *)at;

		if (kind(t) >= KINDS)
			return -1;
		if (known % 65536 == 0)
			types = realloc(types, (known + 65537) * sizeof(*types));
		types[++known] = t;
		at += 12 + 4 * (fixed[kind(t)] + each[kind(t)] * vlen(t));
	}
	return 0;
}

/* The kernel's own types, and those of one module beside them. */
static int btf_load(const char *path)
{
	if (!base.data && btf_half(&base, "/sys/kernel/btf/vmlinux"))
		return -1;
	base_types = base_types ? base_types : known;
	known = base_types;
	return btf_half(&module, path);
}

static struct btf_type *type(uint32_t id) { return id && id <= known ? types[id] : NULL; }

/* Behind typedefs and qualifiers. */
static struct btf_type *plain(uint32_t id)
{
	struct btf_type *t = type(id);

	while (t && ((kind(t) >= 8 && kind(t) <= 11) || kind(t) == 18))
		t = type(t->size);
	return t;
}

static struct btf_type *find(uint32_t wanted, const char *name)
{
	for (uint32_t id = known; id; id--)
		if (kind(types[id]) == wanted && vlen(types[id]) + (wanted == 12) && !strcmp(named(types[id]->name), name))
			return types[id];
	return NULL;
}

/* The byte at which a member begins, and its type; through anonymous members, too. */
static long member(const struct btf_type *t, const char *name, uint32_t *of)
{
	if (!t || (kind(t) != 4 && kind(t) != 5))
		return -1;
	for (uint32_t i = 0; i < vlen(t); i++) {
		uint32_t *m = rest(t) + 3 * i, bits = t->info >> 31 ? m[2] & 0xffffff : m[2];
		long inner;

		if (!strcmp(named(m[0]), name)) {
			*of = m[1];
			return bits % 8 ? -1 : (long)(bits / 8);
		}
		if (!*named(m[0]) && (inner = member(plain(m[1]), name, of)) >= 0)
			return bits / 8 + inner;
	}
	return -1;
}

/* An expression as kprobe events have it; 0 if the kernel knows all of its names. */
static int fetch(const char *function, const char *text, char *out, size_t room)
{
	struct btf_type *f = find(12, function), *proto = f ? type(f->size) : NULL, *t = NULL;
	char copy[160], *save, *part, *at, next[300];
	uint32_t of = 0;
	long offset;

	if (!proto || strlen(text) >= sizeof(copy))
		return -1;
	strcpy(copy, text);
	for (char *c = copy; (c = strstr(c, "->")); )
		c[0] = ' ', c[1] = ' ';
	part = strtok_r(copy, " ", &save);
	at = strchr(part, '@');
	if (at)
		*at++ = 0;
	for (uint32_t i = 0; i < vlen(proto); i++)
		if (!strcmp(named(rest(proto)[2 * i]), part)) {
			snprintf(out, room, "$arg%u", i + 1);
			of = rest(proto)[2 * i + 1];
			t = plain(of);
			break;
		}
	if (!of)
		return -1;
	offset = 0;
	if (at) {
		char *dot = strchr(at, '.');

		if (!dot)
			return -1;
		*dot++ = 0;
		t = find(4, at);
		offset = -member(t, dot, &of);
		if (offset > 0)
			return -1;
	} else if (t && kind(t) == 2) {
		t = plain(t->size);
	}
	while ((part = strtok_r(NULL, " ", &save))) {
		long here = member(t, part, &of);

		if (here < 0)
			return -1;
		snprintf(next, sizeof(next), "%+ld(%.200s)", here + offset, out);
		snprintf(out, room, "%.*s", (int)room - 1, next);
		offset = 0;
		t = plain(of);
		if (t && kind(t) == 2)
			t = plain(t->size);
	}
	return 0;
}

/* A line as kprobe events have it; printed if the kernel knows all of its names. */
static int define_probe(const char *text)
{
	char line[512], event[64], how[4], function[64], out[900], *save, *word;
	int n;

	snprintf(line, sizeof(line), "%s", text);
	if (sscanf(line, "%63s %3s %63s%n", event, how, function, &n) < 3)
		return -1;
	snprintf(out, sizeof(out), "%s:%s %s", how, event, function);
	for (word = strtok_r(line + n, " \n", &save); word; word = strtok_r(NULL, " \n", &save)) {
		char *equals = strchr(word, '='), *colon = strrchr(word, ':'), where[240];

		if (!equals || !colon)
			return -1;
		*equals = *colon = 0;
		if (*(equals + 1) == '$')
			snprintf(where, sizeof(where), "%s", equals + 1);
		else if (fetch(function, equals + 1, where, sizeof(where)))
			return -1;
		snprintf(out + strlen(out), sizeof(out) - strlen(out), " %s=%s:%s", word, where, colon + 1);
	}
	printf("%s\n", out);
	return 0;
}

/*
 * Lines `EVENT p|r FUNCTION [NAME=EXPRESSION:TYPE]...` of standard input as kprobe events have them, one a line.
 * A return value is `NAME=$retval:TYPE`.
 */
static int define_probes(void)
{
	static const char *const modules[] = { "/sys/kernel/btf/kvm", "/sys/kernel/btf/kvm_amd" };
	static char lines[100][512];
	int count = 0;

	while (count < 100 && fgets(lines[count], sizeof(lines[0]), stdin))
		count += *lines[count] != '#';
	for (unsigned m = 0; m < sizeof(modules) / sizeof(*modules); m++) {
		if (btf_load(modules[m])) {
			printf("#unknown BTF of %s\n", modules[m]);
			return 1;
		}
		for (int i = 0; i < count; i++)
			if (*lines[i] && !define_probe(lines[i]))
				*lines[i] = 0;
	}
	for (int i = 0; i < count; i++)
		if (*lines[i])
			printf("#unknown %s", lines[i]);
	return 0;
}
