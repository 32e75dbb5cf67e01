#include "tests/support/pg.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* The guardian: waits until the test's end of the socket closes, even by SIGKILL, then cleans up.
 */
static _Noreturn void guard(int socket, const char *dir)
{
    char byte;
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    while (read(socket, &byte, 1) > 0)
        continue;
    pid_t cleaner = fork();
    if (cleaner == 0) {
        execl(PG_CLUSTER, PG_CLUSTER, "remove", dir, (char *)NULL);
        _exit(127);
    }
    waitpid(cleaner, NULL, 0);
    _exit(0); /* closes the socket: pg_stop() goes on */
}

static int guardian_start(struct pg *pg)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return -1;
    fflush(NULL);
    pid_t child = fork();
    if (child < 0)
        return -1;
    if (child == 0) { /* twice, into a session of its own: nobody who ends the test ends it too */
        close(ends[0]);
        setsid();
        if (fork() == 0)
            guard(ends[1], pg->dir);
        _exit(0);
    }
    close(ends[1]);
    waitpid(child, NULL, 0);
    pg->guardian = ends[0];
    return 0;
}

static int cluster_start(struct pg *pg)
{
    char command[512];
    snprintf(command, sizeof command, "exec '%s' start '%s'", PG_CLUSTER, pg->dir);
    FILE *out = popen(command, "re");
    if (out == NULL)
        return -1;
    bool said = fgets(pg->dsn, sizeof pg->dsn, out) != NULL;
    pg->dsn[strcspn(pg->dsn, "\n")] = '\0';
    return pclose(out) == 0 && said ? 0 : -1;
}

int pg_start(struct pg *pg)
{
    *pg = (struct pg){.dir = "/tmp/penstock-pg-XXXXXX", .guardian = -1};
    /* open to all: a collector of root's has given up the right to enter others' folders */
    if (mkdtemp(pg->dir) == NULL || chmod(pg->dir, 0755) != 0 || guardian_start(pg) != 0)
        return -1;
    if (cluster_start(pg) == 0)
        return 0;
    pg_stop(pg);
    return -1;
}

void pg_stop(struct pg *pg)
{
    char byte;
    if (pg->guardian < 0)
        return;
    shutdown(pg->guardian, SHUT_WR);
    while (read(pg->guardian, &byte, 1) > 0)
        continue;
    close(pg->guardian);
    pg->guardian = -1;
}
