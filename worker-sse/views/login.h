/* The door for browsers, which send no Authorization by themselves: a cookie for a token
 * (/v1/login, /v1/logout), tickets for the query of EventSource and WebSocket (/v1/tickets), and
 * who one is here and may what (/v1/me). */
#pragma once

struct request;

void login_handle(struct request *request);
void logout_handle(struct request *request);
void tickets_handle(struct request *request);
void me_handle(struct request *request);
