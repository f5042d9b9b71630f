/* The floor for catch-up reads: answers every request with the same file by sendfile(2), over
 * keep-alive, one thread per connection.
 *
 *     sendfile FILE        prints the port it listens on */
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int file;
static off_t file_bytes;

static void *serve(void *arg)
{
	int fd = (int)(intptr_t)arg, one = 1;
	char request[8192], head[128];
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	int head_len =
	        snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %lld\r\n\r\n",
	                 (long long)file_bytes);
	/* The load generator waits for each answer, so a read is one request. */
	while (recv(fd, request, sizeof request, 0) > 0) {
		if (send(fd, head, (size_t)head_len, MSG_NOSIGNAL | MSG_MORE) != head_len)
			break;
		off_t at = 0;
		while (at < file_bytes && sendfile(fd, file, &at, (size_t)(file_bytes - at)) > 0)
			;
		if (at < file_bytes)
			break;
	}
	close(fd);
	return NULL;
}

int main(int argc, char **argv)
{
	struct stat stat;
	if (argc != 2 || (file = open(argv[1], O_RDONLY | O_CLOEXEC)) < 0 ||
	    fstat(file, &stat) != 0) {
		fputs("usage: sendfile FILE\n", stderr);
		return 2;
	}
	file_bytes = stat.st_size;
	struct sockaddr_in address = {.sin_family = AF_INET};
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	socklen_t len = sizeof address;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(listener, (struct sockaddr *)&address, len) != 0 || listen(listener, 128) != 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &len) != 0) {
		perror("sendfile: listen");
		return 1;
	}
	printf("%d\n", ntohs(address.sin_port));
	fflush(stdout);
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		pthread_t thread;
		if (fd >= 0 && pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd) == 0)
			pthread_detach(thread);
	}
}
