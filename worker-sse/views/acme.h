/* /.well-known/acme-challenge/TOKEN (RFC 8555, 8.3): what a tool that fetches certificates (uacme,
 * certbot --webroot) has put into http.acme_dir, for whoever checks that this host is ours. */
#pragma once

#include "worker-sse/edge/request.h"

/* 200 with the file's bytes. 404: http.acme_dir is not set, or TOKEN is no name (base64url) of a
 * regular file there of at most 1 KiB. */
void acme_handle(struct request *request);
