/* Rows and entries of an old registry from hostile bytes: what is taken is written as a row that is
 * taken as the same; ids that are good stand in keys and come back out of them. */
#include "common/domain/conversation.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void row_comes_back(const struct conversation *row)
{
	struct conversation back;
	char *text = conversation_text(row);
	must(conversation_read(&back, span_str(text)) == ROW_PRESENT);
	must(memcmp(&back, row, sizeof back) == 0);
	free(text);
	json_decref(conversation_info(row));
}

static void take_entry(struct span bytes)
{
	struct conversation row;
	json_t *entry = json_loadb((const char *)bytes.at, bytes.len, 0, NULL);
	if (entry != NULL && conversation_import(entry, 5, &row) == NULL)
		row_comes_back(&row);
	json_decref(entry);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span bytes = span_of(data, size), id;
	struct conversation row, kept;
	struct conversation_message message = {0};
	char text[CONVERSATION_ID_ROOM], key[CONVERSATION_KEY_ROOM];
	memset(&row, 0x55, sizeof row);
	kept = row;
	if (conversation_read(&row, bytes) == ROW_PRESENT)
		row_comes_back(&row);
	else
		must(memcmp(&row, &kept, sizeof row) == 0);
	if (conversation_message_read(&message, bytes) == ROW_PRESENT)
		free(conversation_message_text(&message));
	json_decref(conversation_presence_read(bytes));
	take_entry(bytes);
	if (conversation_id_good(bytes)) {
		memcpy(text, data, size);
		text[size] = '\0';
		must(conversation_time_key_id(conversation_time_key(text, size, key), &id));
		must(span_equal(id, bytes));
	}
	conversation_time_key_id(bytes, &id);
	return 0;
}
