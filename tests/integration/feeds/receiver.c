/* An HTTP server for feeds.sh: receiver PORT FILE appends each body that is posted, as a line;
 * receiver PORT FILE CERTIFICATE KEY is an HTTPS server.
 * receiver PORT listens, and never accepts: the kernel takes connections, and all is silence. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/http_receiver.h"

static int be_silent(uint16_t port)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 16) != 0) {
        perror("receiver");
        return 1;
    }
    for (;;)
        pause();
}

int main(int argc, char **argv)
{
    static struct http_receiver receiver;
    if (argc < 2)
        return 2;
    uint16_t port = (uint16_t)atoi(argv[1]);
    if (argc < 3)
        return be_silent(port);
    if (argc == 5)
        http_receiver_secure(&receiver, argv[3], argv[4]);
    FILE *out = fopen(argv[2], "a");
    receiver.status = 200;
    if (out == NULL || http_receiver_open(&receiver, port) != 0) {
        perror("receiver");
        return 1;
    }
    for (unsigned shown = 0;; nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL))
        for (; shown < http_receiver_count(&receiver); shown++) {
            fprintf(out, "%s\n", receiver.posts[shown]);
            fflush(out);
        }
}
