/* What nodes answer, read. */
#include "worker-bridge/solana_answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct solana_answer *answer;

static const struct solana_reply *read_as(enum solana_method method, const char *owner,
                                          const char *body)
{
	solana_answer_read(method, owner, span_str(body), answer);
	return &answer->reply;
}

static void accounts(void **state)
{
	static const char owned[] =
	        "{\"jsonrpc\":\"2.0\",\"result\":{\"context\":{\"slot\":1},\"value\":{\"data\":["
	        "\"AQID\","
	        "\"base64\"],\"executable\":false,\"lamports\":5,\"owner\":\"own\","
	        "\"rentEpoch\":18446744073709551615,\"space\":3}},\"id\":1}";
	const struct solana_reply *reply = read_as(SOLANA_METHOD_ACCOUNT, "own", owned);
	(void)state;
	assert_true(reply->fault == SOLANA_OK && reply->there);
	assert_true(span_equal(reply->bytes, span_of("\1\2\3", 3)));
	/* Whoever sends lamports to an address makes an account there. */
	reply = read_as(SOLANA_METHOD_ACCOUNT, "another", owned);
	assert_true(reply->fault == SOLANA_OK && !reply->there && reply->bytes.len == 0);
	assert_true(read_as(SOLANA_METHOD_ACCOUNT, NULL, owned)->there);
	reply = read_as(SOLANA_METHOD_ACCOUNT, "own", "{\"result\":{\"value\":null}}");
	assert_true(reply->fault == SOLANA_OK && !reply->there);
	char *large = malloc(60000);
	int len = snprintf(large, 60000, "{\"result\":{\"value\":{\"owner\":\"own\",\"data\":[\"");
	memset(large + len, 'A', 20000);
	snprintf(large + len + 20000, 100, "\",\"base64\"]}}}");
	assert_int_equal(read_as(SOLANA_METHOD_ACCOUNT, "own", large)->fault, SOLANA_SILENT);
	free(large);
}

static void numbers(void **state)
{
	const struct solana_reply *reply =
	        read_as(SOLANA_METHOD_BLOCKHASH, NULL,
	                "{\"result\":{\"value\":{\"blockhash\":"
	                "\"4uQeVj5tqViQh7yWWGStvkEG1Zmhx6uasJtWCJziofM\","
	                "\"lastValidBlockHeight\":151}}}");
	(void)state;
	assert_true(reply->fault == SOLANA_OK && reply->last_height == 151 &&
	            reply->blockhash[0] == 1);
	assert_int_equal(read_as(SOLANA_METHOD_HEIGHT, NULL, "{\"result\":77}")->height, 77);
	assert_int_equal(read_as(SOLANA_METHOD_BALANCE, NULL, "{\"result\":{\"value\":9}}")->height,
	                 9);
	assert_int_equal(read_as(SOLANA_METHOD_SEND, NULL, "{\"result\":\"sig\"}")->fault,
	                 SOLANA_OK);
}

static void statuses(void **state)
{
	const struct solana_reply *reply;
	(void)state;
	reply = read_as(SOLANA_METHOD_STATUS, NULL, "{\"result\":{\"value\":[null]}}");
	assert_true(reply->fault == SOLANA_OK && !reply->known);
	reply = read_as(SOLANA_METHOD_STATUS, NULL,
	                "{\"result\":{\"value\":[{\"slot\":7,\"confirmations\":3,\"err\":null,"
	                "\"confirmationStatus\":\"confirmed\"}]}}");
	assert_true(reply->known && !reply->failed && reply->slot == 7 &&
	            reply->level == SOLANA_CONFIRMED);
	reply = read_as(
	        SOLANA_METHOD_STATUS, NULL,
	        "{\"result\":{\"value\":[{\"slot\":7,\"confirmations\":null,\"err\":null}]}}");
	assert_true(reply->known && reply->level == SOLANA_FINALIZED);
	reply = read_as(SOLANA_METHOD_STATUS, NULL,
	                "{\"result\":{\"value\":[{\"slot\":7,\"confirmations\":null,"
	                "\"err\":{\"InstructionError\":[1,{\"Custom\":6011}]},"
	                "\"confirmationStatus\":\"finalized\"}]}}");
	assert_true(reply->fault == SOLANA_OK && reply->failed && reply->how == SOLANA_PROGRAM &&
	            reply->instruction == 1 && reply->custom && reply->code == 6011);
}

static void failures(void **state)
{
	static const struct {
		const char *error;
		enum solana_fault fault;
	} rows[] = {
	        {"{\"code\":-32002,\"message\":\"m\",\"data\":{\"err\":\"BlockhashNotFound\"}}",
	         SOLANA_NO_HASH},
	        {"{\"code\":-32002,\"message\":\"m\",\"data\":{\"err\":\"AlreadyProcessed\"}}",
	         SOLANA_KNOWN},
	        {"{\"code\":-32002,\"message\":\"m\",\"data\":{\"err\":\"InsufficientFundsForFee\"}"
	         "}",
	         SOLANA_POOR},
	        {"{\"code\":-32002,\"data\":{\"err\":{\"InsufficientFundsForRent\":{\"account_"
	         "index\":"
	         "0}}}}",
	         SOLANA_POOR},
	        {"{\"code\":-32002,\"data\":{\"err\":{\"InstructionError\":[0,{\"Custom\":1}]}}}",
	         SOLANA_POOR},
	        {"{\"code\":-32002,\"data\":{\"err\":{\"InstructionError\":[0,{\"Custom\":6000}]}}"
	         "}",
	         SOLANA_PROGRAM},
	        {"{\"code\":-32002,\"data\":{\"err\":{\"InstructionError\":[0,"
	         "\"InvalidAccountData\"]}"
	         "}}",
	         SOLANA_PROGRAM},
	        {"{\"code\":-32002,\"data\":{\"err\":\"ProgramAccountNotFound\"}}", SOLANA_REFUSED},
	        {"{\"code\":-32002,\"message\":\"m\"}", SOLANA_LATER},
	        {"{\"code\":-32002,\"data\":{\"err\":null}}", SOLANA_LATER},
	        {"{\"code\":-32003,\"message\":\"m\"}", SOLANA_REFUSED},
	        {"{\"code\":-32005,\"message\":\"Node is behind by 42 slots\"}", SOLANA_LATER},
	        {"{\"code\":-32602,\"message\":\"m\"}", SOLANA_REFUSED},
	        {"{\"code\":429,\"message\":\"m\"}", SOLANA_LATER},
	        {"{}", SOLANA_LATER},
	};
	char body[300];
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		snprintf(body, sizeof body, "{\"id\":1,\"error\":%s}", rows[i].error);
		const struct solana_reply *reply = read_as(SOLANA_METHOD_SEND, NULL, body);
		if (reply->fault != rows[i].fault)
			fail_msg("row %zu: %d", i, (int)reply->fault);
		assert_true(*reply->text != '\0');
		/* What concerns a transaction refuses nothing else for ever. */
		reply = read_as(SOLANA_METHOD_HEIGHT, NULL, body);
		assert_int_equal(reply->fault, SOLANA_LATER);
	}
}

static void what_says_nothing(void **state)
{
	static const char *const bad[] = {
	        "",
	        "[]",
	        "{}",
	        "null",
	        "{\"result\":null}",
	        "{\"result\":{}}",
	        "{\"result\":[1]}",
	        "{\"result\":{\"value\":[]}}",
	        "{\"result\":{\"value\":{}}}",
	        "{\"result\":{\"value\":{\"owner\":1,\"data\":[]}}}",
	        "{\"result\":{\"value\":{\"owner\":\"o\",\"data\":[\"?\"]}}}",
	        "{\"result\":{\"value\":{\"blockhash\":\"0\",\"lastValidBlockHeight\":1}}}",
	        "{\"result\":-1}",
	        "{\"result\":1.5}",
	        "{\"result\":{\"value\":[5]}}",
	        "{\"result\":{\"value\":[{\"slot\":-1}]}}",
	};
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		for (enum solana_method method = 0; method <= SOLANA_METHOD_BALANCE; method++) {
			const struct solana_reply *reply = read_as(method, "o", bad[i]);
			assert_true(reply->fault == SOLANA_SILENT && *reply->text != '\0');
		}
}

static int set_up(void **state)
{
	(void)state;
	answer = malloc(sizeof *answer);
	return answer != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	free(answer);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(accounts),          cmocka_unit_test(numbers),
	        cmocka_unit_test(statuses),          cmocka_unit_test(failures),
	        cmocka_unit_test(what_says_nothing),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
