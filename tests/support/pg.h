/* A private PostgreSQL cluster for a test program: in a temporary folder, without TCP, gone when
 * the program ends, however it ends (a guardian process outlives it and cleans up). */
#pragma once

struct pg {
    char dir[64];
    char dsn[256];
    int guardian; /* the socket whose closing tells the guardian */
};

/* Starts it; -1, with PostgreSQL's reasons on standard error. */
int pg_start(struct pg *pg);

/* Stops and deletes it, and waits for that. */
void pg_stop(struct pg *pg);
