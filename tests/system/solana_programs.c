/* Two small programs for a cluster of Solana in a test: an oracle of duels and a market that
 * follows it, with the accounts, instructions, rules and codes of refusal that the solana operator
 * counts on (worker-bridge/solana_market.h). Compiled twice, with ORACLE or MARKET defined:
 *
 *     clang-14 -target bpf -O2 -fno-builtin -DORACLE -c solana_programs.c -o oracle.o
 *
 * and packed by solana_pack.c. Everything is inlined into one function: the only calls are those of
 * the runtime, known by the hash of their names. */
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long u64;
typedef long i64;
#define INLINE static inline __attribute__((always_inline))

/* ---- the runtime ---- */

struct meta {
	u8 *address;
	u8 writes, signs;
};
struct call {
	u8 *program;
	struct meta *accounts;
	u64 accounts_count;
	u8 *data;
	u64 data_len;
};
struct info {
	u8 *address;
	u64 *lamports;
	u64 data_len;
	u8 *data, *owner;
	u64 rent_epoch;
	u8 signs, writes, executable;
};
struct seed {
	const u8 *at;
	u64 len;
};
struct seeds {
	struct seed *seeds;
	u64 count;
};
static u64 (*const get_clock)(void *) = (void *)(long)(int)0xd56b5fe9;
static u64 (*const find_address)(const struct seed *, u64, const u8 *, u8 *,
                                 u8 *) = (void *)(long)(int)0x48504a38;
static u64 (*const invoke_signed)(const struct call *, const struct info *, u64,
                                  const struct seeds *, u64) = (void *)(long)(int)0xa22b9c85;

/* As the runtime lays them out. */
struct account {
	u8 repeated, signs, writes, executable;
	u32 room;
	u8 address[32], owner[32];
	u64 lamports, len;
	u8 data[];
};
enum { GROWTH = 10240, ACCOUNTS = 6 };

INLINE int same(const u8 *a, const u8 *b)
{
	const u64 *x = (const u64 *)a, *y = (const u64 *)b;
	return x[0] == y[0] && x[1] == y[1] && x[2] == y[2] && x[3] == y[3];
}

/* Byte by byte: what is read may lie anywhere. */
INLINE void copy(u8 *to, const u8 *from, u64 len)
{
	for (u64 i = 0; i < len; i++)
		((volatile u8 *)to)[i] = from[i];
}

INLINE int equal(const u8 *a, const u8 *b, u64 len)
{
	u8 differ = 0;
	for (u64 i = 0; i < len; i++)
		differ |= (u8)(a[i] ^ ((volatile const u8 *)b)[i]);
	return differ == 0;
}

INLINE int is_zero(const u8 *a, u64 len)
{
	u8 any = 0;
	for (u64 i = 0; i < len; i++)
		any |= ((volatile const u8 *)a)[i];
	return any == 0;
}

INLINE u64 number(const u8 *at)
{
	u64 value = 0;
	for (int i = 7; i >= 0; i--)
		value = value << 8 | at[i];
	return value;
}

INLINE void put_number(u8 *at, u64 value)
{
	for (int i = 0; i < 8; i++)
		((volatile u8 *)at)[i] = (u8)(value >> (8 * i));
}

/* ---- what Anchor says ---- */

enum {
	UNKNOWN_INSTRUCTION = 101,
	WRONG_SEEDS = 2006,
	WRONG_ACCOUNTS = 3005,
	WRONG_NAME = 3002,
	WRONG_OWNER = 3007,
	NO_SIGNER = 3010,
	NOT_INITIALIZED = 3012,
	BAD_DATA = 102,
	UNAUTHORIZED = 6000,
};

/* The first 8 bytes of SHA-256("account:DuelState") and so on, as a number. */
#define NAME_DUEL             0x7891747ca53bd595ul
#define NAME_MARKET           0xc2a4605fd77b7d00ul
#define NAME_OF_CONFIG        0xfe91151b3298c485ul
#define NAME_OF_MARKET_CONFIG 0x188052fc58c8ff77ul
/* And of SHA-256("global:upsert_duel"). */
#define CALL_UPSERT     0x80fb8046df8b07aeul
#define CALL_PROPOSE    0xf285918026846007ul
#define CALL_FINALIZE   0x4ebabf0d6271c1d9ul
#define CALL_CANCEL     0x39262cebede07c53ul
#define CALL_INITIALIZE 0xcbaa309bc1bd2323ul
#define CALL_SYNC       0xd5550cf23589b4ebul

enum { DUEL_BYTES = 541, MARKET_BYTES = 393 };

/* Where members lie; each behind 8 bytes of name. */
enum {
	DUEL_KEY = 8,
	DUEL_A = 40,
	DUEL_B = 72,
	DUEL_STATUS = 104,
	DUEL_WINNER = 105,
	DUEL_OPEN = 106,
	DUEL_CLOSE = 114,
	DUEL_START = 122,
	DUEL_END = 130,
	DUEL_SEED = 138,
	DUEL_RESULT = 146,
	DUEL_REPLAY = 178,
	DUEL_PROPOSAL = 210,
	PENDING_WINNER = 242,
	PENDING_SEED = 243,
	PENDING_RESULT = 251,
	PENDING_REPLAY = 283,
	PENDING_END = 315,
	PENDING_AT = 323,
	PENDING_CHALLENGED = 331,
	DUEL_URI = 332,
};
enum { OPEN = 1, LOCKED, PROPOSED, CHALLENGED, RESOLVED, CANCELLED };
enum { MARKET_DUEL = 8, MARKET_KEY = 40, MARKET_KIND = 72, MARKET_STATUS = 73, MARKET_WINNER = 74 };

struct given {
	struct account *accounts[ACCOUNTS];
	u64 count;
	const u8 *data;
	u64 len;
	const u8 *program;
};

/* The stack is small: what is large lies in the heap, which a program has at a fixed address. */
struct heap {
	struct given given;
	u8 data[52], last[1], address[32], bump, kind[1];
	struct meta metas[2];
	struct call call;
	struct info infos[3];
	struct seed seeds[4];
	struct seeds signers;
	u64 clock[5];
};
static struct heap *const heap = (struct heap *)0x300000000ul;

INLINE void take(u8 *input, struct given *given)
{
	given->count = *(u64 *)input;
	u8 *at = input + 8;
	for (u64 i = 0; i < given->count && i < ACCOUNTS; i++) {
		struct account *one = (struct account *)at;
		if (one->repeated != 0xff) {
			given->accounts[i] = given->accounts[one->repeated];
			at += 8;
			continue;
		}
		given->accounts[i] = one;
		at += sizeof *one + one->len + GROWTH;
		at = (u8 *)(((u64)at + 7) & ~7ul) + 8;
	}
	given->len = *(u64 *)at;
	given->data = at + 8;
	given->program = given->data + given->len;
}

INLINE u64 check_kept(const struct account *one, const u8 *owner, u64 name)
{
	if (one->lamports == 0 || one->len < 8)
		return NOT_INITIALIZED;
	if (!equal(owner, one->owner, 32))
		return WRONG_OWNER;
	return number(one->data) == name ? 0 : WRONG_NAME;
}

INLINE void put_info(struct info *info, struct account *one)
{
	info->address = one->address;
	info->lamports = &one->lamports;
	info->data_len = one->len;
	info->data = one->data;
	info->owner = one->owner;
	info->rent_epoch = ~0ul;
	info->signs = one->signs;
	info->writes = one->writes;
	info->executable = one->executable;
}

/* The account is made at the address that the seeds lead to, paid by `who`. */
INLINE u64 make(struct account *who, struct account *made, struct account *system,
                const u8 *program, struct seed *all, u64 count, u64 bytes, u8 bump)
{
	heap->metas[0] = (struct meta){who->address, 1, 1};
	heap->metas[1] = (struct meta){made->address, 1, 1};
	heap->call = (struct call){system->address, heap->metas, 2, heap->data, sizeof heap->data};
	heap->last[0] = bump;
	all[count] = (struct seed){heap->last, 1};
	heap->signers = (struct seeds){all, count + 1};
	for (int i = 0; i < 4; i++)
		((volatile u8 *)heap->data)[i] = 0;
	put_number(heap->data + 4, (128 + bytes) * 6960);
	put_number(heap->data + 12, bytes);
	copy(heap->data + 20, program, 32);
	put_info(&heap->infos[0], who);
	put_info(&heap->infos[1], made);
	put_info(&heap->infos[2], system);
	return invoke_signed(&heap->call, heap->infos, 3, &heap->signers, 1);
}

#ifdef ORACLE

enum {
	BET_WINDOW = 6007,
	PARTICIPANTS = 6008,
	TRANSITION = 6009,
	DUEL_KEY_MISMATCH = 6010,
	FINALIZED = 6011,
	WAS_CANCELLED = 6012,
	NO_WINNER = 6013,
	NOT_PROPOSED = 6014,
	WAS_CHALLENGED = 6015,
	WINDOW = 6017,
};

INLINE void put_uri(u8 *duel, const u8 *text, u64 len, u8 bump)
{
	put_number(duel + DUEL_URI, len);
	copy(duel + DUEL_URI + 4, text, len);
	duel[DUEL_URI + 4 + len] = bump;
}

INLINE u64 upsert(struct given *g, const u8 *at, u64 left)
{
	struct account *who = g->accounts[0], *duel = g->accounts[2];
	struct seed *seeds = heap->seeds;
	seeds[0] = (struct seed){(const u8 *)"duel", 4};
	seeds[1] = (struct seed){at, 32};
	if (g->count < 4 || left < 32 * 3 + 24 + 4 + 1)
		return BAD_DATA;
	u64 uri = number(at + 120) & 0xffffffff;
	if (uri > 200 || left != 124 + uri + 1)
		return BAD_DATA;
	u8 status = at[124 + uri];
	i64 open_s = (i64)number(at + 96), close_s = (i64)number(at + 104),
	    start_s = (i64)number(at + 112);
	if (find_address(seeds, 2, g->program, heap->address, &heap->bump) != 0 ||
	    !equal(heap->address, duel->address, 32))
		return WRONG_SEEDS;
	int fresh = duel->len == 0;
	if (fresh) {
		u64 failed = make(who, duel, g->accounts[3], g->program, seeds, 2, DUEL_BYTES,
		                  heap->bump);
		if (failed != 0)
			return failed;
	} else if (!equal(g->program, duel->owner, 32)) {
		return WRONG_OWNER;
	}
	u8 *d = duel->data;
	if (status > LOCKED)
		return TRANSITION;
	if (is_zero(at + 32, 32) || is_zero(at + 64, 32) || equal(at + 32, at + 64, 32))
		return PARTICIPANTS;
	if (open_s <= 0 || close_s <= open_s)
		return BET_WINDOW;
	if (start_s < close_s)
		return TRANSITION;
	if (!fresh && (d[DUEL_STATUS] == RESOLVED || d[DUEL_STATUS] == CANCELLED))
		return FINALIZED;
	if (!fresh && status < d[DUEL_STATUS])
		return TRANSITION;
	put_number(d, NAME_DUEL);
	copy(d + DUEL_KEY, at, 96);
	d[DUEL_STATUS] = status;
	copy(d + DUEL_OPEN, at + 96, 24);
	put_uri(d, at + 124, uri, heap->bump);
	return 0;
}

INLINE u64 propose(u8 *d, const u8 *at, u64 left)
{
	if (left < 32 + 1 + 8 + 64 + 8 + 4)
		return BAD_DATA;
	u8 winner = at[32];
	i64 end_s = (i64)number(at + 105);
	if (winner != 1 && winner != 2)
		return NO_WINNER;
	if (d[DUEL_STATUS] == CANCELLED)
		return WAS_CANCELLED;
	if (d[DUEL_STATUS] != LOCKED || end_s <= 0 || end_s < (i64)number(d + DUEL_CLOSE))
		return TRANSITION;
	if (get_clock(heap->clock) != 0)
		return BAD_DATA;
	d[DUEL_STATUS] = PROPOSED;
	d[PENDING_WINNER] = winner;
	copy(d + PENDING_SEED, at + 33, 8);
	copy(d + PENDING_REPLAY, at + 41, 32);
	copy(d + PENDING_RESULT, at + 73, 32);
	put_number(d + PENDING_END, (u64)end_s);
	put_number(d + PENDING_AT, heap->clock[4]);
	d[PENDING_CHALLENGED] = 0;
	return 0;
}

INLINE u64 finalize(u8 *d, const u8 *config)
{
	if (d[DUEL_STATUS] != PROPOSED)
		return NOT_PROPOSED;
	if (d[PENDING_CHALLENGED])
		return WAS_CHALLENGED;
	if (get_clock(heap->clock) != 0)
		return BAD_DATA;
	if ((i64)heap->clock[4] < (i64)(number(d + PENDING_AT) + number(config + 136)))
		return WINDOW;
	d[DUEL_STATUS] = RESOLVED;
	d[DUEL_WINNER] = d[PENDING_WINNER];
	copy(d + DUEL_SEED, d + PENDING_SEED, 8);
	copy(d + DUEL_RESULT, d + PENDING_RESULT, 32);
	copy(d + DUEL_REPLAY, d + PENDING_REPLAY, 32);
	copy(d + DUEL_END, d + PENDING_END, 8);
	return 0;
}

INLINE u64 cancel(u8 *d)
{
	if (d[DUEL_STATUS] == RESOLVED || d[DUEL_STATUS] == CANCELLED)
		return FINALIZED;
	d[DUEL_STATUS] = CANCELLED;
	return 0;
}

u64 entrypoint(u8 *input)
{
	struct given *g = &heap->given;
	take(input, g);
	if (g->count < 3 || g->len < 8 + 32 + 4)
		return WRONG_ACCOUNTS;
	struct account *who = g->accounts[0], *config = g->accounts[1], *duel = g->accounts[2];
	const u8 *at = g->data + 8;
	u64 what = number(g->data), left = g->len - 8;
	u64 wrong = check_kept(config, g->program, NAME_OF_CONFIG);
	if (wrong != 0)
		return wrong;
	if (!who->signs)
		return NO_SIGNER;
	if (!equal(config->data + (what == CALL_FINALIZE ? 72 : 40), who->address, 32))
		return UNAUTHORIZED;
	if (what == CALL_UPSERT)
		return upsert(g, at, left);
	wrong = check_kept(duel, g->program, NAME_DUEL);
	if (wrong != 0)
		return wrong;
	if (!equal(at, duel->data + DUEL_KEY, 32))
		return WRONG_SEEDS;
	if (what == CALL_PROPOSE)
		return propose(duel->data, at, left);
	if (what == CALL_FINALIZE)
		return finalize(duel->data, config->data);
	if (what == CALL_CANCEL)
		return cancel(duel->data);
	return UNKNOWN_INSTRUCTION;
}

#else

enum { NO_OPERATOR = 6002, WRONG_KIND = 6007, MISMATCH = 6008, CLOSED = 6009 };

INLINE void follow(u8 *m, const u8 *d)
{
	u8 status = d[DUEL_STATUS];
	m[MARKET_STATUS] = status <= OPEN ? 0 : status < RESOLVED ? 1 : status == RESOLVED ? 2 : 3;
	m[MARKET_WINNER] = status == RESOLVED ? d[DUEL_WINNER] : 0;
}

INLINE u64 initialize(struct given *g)
{
	struct account *who = g->accounts[0], *config = g->accounts[1], *duel = g->accounts[2],
	               *market = g->accounts[3];
	const u8 *at = g->data + 8;
	struct seed *seeds = heap->seeds;
	heap->kind[0] = 1;
	seeds[0] = (struct seed){(const u8 *)"market", 6};
	seeds[1] = (struct seed){duel->address, 32};
	seeds[2] = (struct seed){heap->kind, 1};
	if (g->count < 6 || g->len != 8 + 33)
		return BAD_DATA;
	u64 wrong = check_kept(config, g->program, NAME_OF_MARKET_CONFIG);
	if (wrong != 0)
		return wrong;
	if (!who->signs)
		return NO_SIGNER;
	if (find_address(seeds, 3, g->program, heap->address, &heap->bump) != 0 ||
	    !equal(heap->address, market->address, 32))
		return WRONG_SEEDS;
	wrong = make(who, market, g->accounts[5], g->program, seeds, 3, MARKET_BYTES, heap->bump);
	if (wrong != 0)
		return wrong;
	if (at[32] != 1)
		return WRONG_KIND;
	if (!equal(config->data + 8, who->address, 32) &&
	    !equal(config->data + 40, who->address, 32))
		return NO_OPERATOR;
	if (number(duel->data) != NAME_DUEL || !equal(at, duel->data + DUEL_KEY, 32))
		return MISMATCH;
	if (duel->data[DUEL_STATUS] != OPEN && duel->data[DUEL_STATUS] != LOCKED)
		return CLOSED;
	u8 *m = market->data;
	put_number(m, NAME_MARKET);
	copy(m + MARKET_DUEL, duel->address, 32);
	copy(m + MARKET_KEY, at, 32);
	m[MARKET_KIND] = 1;
	follow(m, duel->data);
	return 0;
}

u64 entrypoint(u8 *input)
{
	struct given *g = &heap->given;
	take(input, g);
	if (g->count < 2 || g->len < 8)
		return WRONG_ACCOUNTS;
	if (number(g->data) == CALL_INITIALIZE)
		return initialize(g);
	if (number(g->data) != CALL_SYNC)
		return UNKNOWN_INSTRUCTION;
	struct account *market = g->accounts[0], *duel = g->accounts[1];
	u64 wrong = check_kept(market, g->program, NAME_MARKET);
	if (wrong != 0)
		return wrong;
	if (number(duel->data) != NAME_DUEL ||
	    !equal(duel->address, market->data + MARKET_DUEL, 32))
		return MISMATCH;
	follow(market->data, duel->data);
	return 0;
}

#endif
