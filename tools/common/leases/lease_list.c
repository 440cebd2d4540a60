/* SPDX-License-Identifier: PostgreSQL */
/* What a log or a status page tells of leases: who took which, and what became of them. */
#include "common/leases/lease_list.h"

#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

struct word {
	UT_hash_handle hh;
	char text[];
};

const char *lease_list_word(struct lease_list *list, const char *text)
{
	size_t n = strlen(text);
	struct word *word;

	HASH_FIND(hh, list->words, text, n, word);
	if (word == NULL) {
		word = xalloc_new(1, sizeof(*word) + n + 1);
		memcpy(word->text, text, n);
		HASH_ADD_KEYPTR(hh, list->words, word->text, n, word);
		xalloc_added(word->hh.tbl);
	}
	return word->text;
}

struct process *lease_list_process(struct lease_list *list, struct owner owner)
{
	struct process *process;

	HASH_FIND(hh, list->by_pid, &owner, sizeof(owner), process);
	if (process != NULL) {
		return process;
	}
	process = xalloc_new(1, sizeof(*process));
	process->owner = owner;
	process->number = ++list->processes;
	process->program = "";
	HASH_ADD(hh, list->by_pid, owner, sizeof(owner), process);
	xalloc_added(process->hh.tbl);
	DL_APPEND(list->all, process);
	return process;
}

static void forget_numbers(struct process *process)
{
	struct numbered *numbered;
	struct numbered *next;

	HASH_ITER (hh, process->stacks, numbered, next) {
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the next is not freed */
		HASH_DEL(process->stacks, numbered);
		free(numbered);
	}
}

void lease_list_end_process(struct lease_list *list, struct process *process)
{
	HASH_DEL(list->by_pid, process);
	process->ended = true;
	if (process->held == NULL) {
		list->forgotten_acquired += process->acquired;
		list->forgotten_released += process->released;
		DL_DELETE(list->all, process);
		forget_numbers(process);
		free(process);
	}
}

const struct place *lease_list_place(struct lease_list *list,
                                     const char *const texts[LEASE_LIST_TEXTS])
{
	size_t begins[LEASE_LIST_TEXTS];
	size_t whole = 0;
	struct place *place;
	char *key;

	for (size_t i = 0; i < LEASE_LIST_TEXTS; i++) {
		begins[i] = whole;
		whole += (texts[i] != NULL ? strlen(texts[i]) : 0) + 1;
	}
	key = xalloc_new(whole, 1);
	for (size_t i = 0; i < LEASE_LIST_TEXTS; i++) {
		if (texts[i] != NULL) {
			memcpy(key + begins[i], texts[i], strlen(texts[i]));
		}
	}
	HASH_FIND(hh, list->places, key, whole, place);
	if (place != NULL) {
		free(key);
		return place;
	}
	place = xalloc_new(1, sizeof(*place));
	place->frames = key + begins[0];
	place->build_ids = key + begins[1];
	place->script = key + begins[2];
	place->script_frames = key + begins[3];
	place->number = HASH_COUNT(list->places) + 1;
	HASH_ADD_KEYPTR(hh, list->places, key, whole, place);
	xalloc_added(place->hh.tbl);
	return place;
}

static struct numbered *find_number(const struct process *process, uint64_t stack)
{
	struct numbered *found;

	HASH_FIND(hh, process->stacks, &stack, sizeof(stack), found);
	return found;
}

/* One may be cut shorter than the other, where a line became too long. */
static bool is_same_stack(const struct place *a, const struct place *b)
{
	size_t x = strlen(a->frames);
	size_t y = strlen(b->frames);

	return strncmp(a->frames, b->frames, x < y ? x : y) == 0;
}

static struct numbered *number(struct process *process, uint64_t stack)
{
	struct numbered *numbered = find_number(process, stack);

	if (numbered == NULL) {
		numbered = xalloc_new(1, sizeof(*numbered));
		numbered->stack = stack;
		HASH_ADD(hh, process->stacks, stack, sizeof(stack), numbered);
		xalloc_added(numbered->hh.tbl);
	}
	return numbered;
}

bool lease_list_number(struct process *process, uint64_t stack, const struct place *place)
{
	struct numbered *numbered = number(process, stack);

	if (numbered->place != NULL) {
		return is_same_stack(numbered->place, place);
	}
	numbered->place = place;
	return true;
}

const struct place *lease_list_place_of(const struct process *process, uint64_t stack)
{
	const struct numbered *numbered = find_number(process, stack);

	return numbered != NULL ? numbered->place : NULL;
}

void lease_list_note_script(struct process *process, uint64_t stack, const char *script)
{
	if (stack != 0) {
		number(process, stack)->script = script;
	}
}

void lease_list_note_given_back(struct process *process, uint64_t stack)
{
	if (stack != 0) {
		number(process, stack)->given_back = true;
	}
}

struct held *lease_list_add(struct process *process, uint64_t lease)
{
	struct held *held = xalloc_new(1, sizeof(*held));

	held->process = process;
	held->lease = lease;
	held->pool = "";
	held->pooled = true;
	HASH_ADD(hh, process->held, lease, sizeof(lease), held);
	xalloc_added(held->hh.tbl);
	return held;
}

struct held *lease_list_find(const struct process *process, uint64_t lease)
{
	struct held *held;

	HASH_FIND(hh, process->held, &lease, sizeof(lease), held);
	return held;
}

void lease_list_forget(struct process *process, struct held *held)
{
	HASH_DEL(process->held, held);
	free(held->script);
	free(held->transaction);
	free(held->statement);
	free(held);
}

void lease_list_settle(struct lease_list *list)
{
	struct process *process;

	DL_FOREACH (list->all, process) {
		for (struct held *held = process->held; held != NULL; held = held->hh.next) {
			held->place = lease_list_place_of(process, held->stack);
		}
	}
}
