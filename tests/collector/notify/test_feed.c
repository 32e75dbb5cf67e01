/* A feed of JSON lines: nothing missing, in order, whole lines only, whatever happens in between.
 */
#include "tests/support/feed_lab.h"

#include <sys/stat.h>

static struct feed_conf jsonl(struct feed_lab *lab, const char *name)
{
    struct feed_conf f = {.type = FEED_JSONL, .from = FEED_FROM_START, .fsync = true};
    snprintf(f.name, sizeof f.name, "%s", name);
    snprintf(f.path, sizeof f.path, "%s/%s.jsonl", lab->folder.path, name);
    return f;
}

/* The event_ids that stand in the file, in order, as text; fails on a line that is no JSON. */
static const char *ids_in(const char *path)
{
    static char ids[4096];
    char line[2048];
    ids[0] = '\0';
    FILE *in = fopen(path, "r");
    while (in != NULL && fgets(line, sizeof line, in) != NULL) {
        json_t *json = json_loads(line, 0, NULL);
        assert_non_null(json);
        assert_int_equal(line[strlen(line) - 1], '\n');
        size_t len = strlen(ids);
        snprintf(ids + len, sizeof ids - len, "%s%lld", len > 0 ? " " : "",
                 json_integer_value(json_object_get(json, "event_id")));
        json_decref(json);
    }
    if (in != NULL)
        fclose(in);
    return ids;
}

static void states_are_appended_in_order_and_the_cursor_follows(void **state)
{
    struct feed_lab *lab = *state;
    struct feed_conf f = jsonl(lab, "a");
    list_journal_add(&lab->list, 1, "firing", NULL);
    list_journal_add(&lab->list, 2, "pending", NULL);
    feed_lab_start(lab, &f, 1);
    assert_true(list_journal_wait(&lab->list, "a", 2));
    list_journal_add(&lab->list, 1, "resolved", NULL);
    assert_true(list_journal_wait(&lab->list, "a", 3));
    assert_string_equal(ids_in(f.path), "1 3");
    assert_int_equal(list_journal_saved(&lab->list, "a").sent, 2);
    assert_int_equal(feed_lab_counted(lab, COUNTER_feed_sent), 2);
}

static void a_new_feed_begins_now_and_goes_on_where_it_was(void **state)
{
    struct feed_lab *lab = *state;
    struct feed_conf f = jsonl(lab, "a");
    f.from = FEED_FROM_NOW;
    list_journal_add(&lab->list, 1, "firing", NULL);
    feed_lab_start(lab, &f, 1);
    assert_true(list_journal_wait(&lab->list, "a", 1));
    WAIT_UNTIL(list_journal_saved(&lab->list, "a").is_open);
    notify_stop(lab->notify);
    list_journal_add(&lab->list, 1, "resolved", NULL);
    feed_lab_start(lab, &f, 1);
    assert_true(list_journal_wait(&lab->list, "a", 2));
    assert_string_equal(ids_in(f.path), "2");
}

static void more_than_a_batch_is_caught_up_with(void **state)
{
    struct feed_lab *lab = *state;
    struct feed_conf f = jsonl(lab, "a");
    char expected[4096] = "";
    for (unsigned i = 1; i <= 300; i++) {
        list_journal_add(&lab->list, i, "firing", NULL);
        size_t len = strlen(expected);
        snprintf(expected + len, sizeof expected - len, "%s%u", i > 1 ? " " : "", i);
    }
    feed_lab_start(lab, &f, 1);
    assert_true(list_journal_wait(&lab->list, "a", 300));
    assert_string_equal(ids_in(f.path), expected);
}

static void half_a_line_that_a_crash_left_is_written_again_whole(void **state)
{
    struct feed_lab *lab = *state;
    struct feed_conf f = jsonl(lab, "a");
    temp_folder_write(&lab->folder, "a.jsonl", "{\"event_id\":0}\n{\"event_id\":1,\"ki", 0640);
    list_journal_add(&lab->list, 1, "firing", NULL);
    feed_lab_start(lab, &f, 1);
    assert_true(list_journal_wait(&lab->list, "a", 1));
    assert_string_equal(ids_in(f.path), "0 1");
}

static void a_file_that_was_moved_away_is_made_again(void **state)
{
    struct feed_lab *lab = *state;
    struct feed_conf f = jsonl(lab, "a");
    char moved[300];
    list_journal_add(&lab->list, 1, "firing", NULL);
    feed_lab_start(lab, &f, 1);
    assert_true(list_journal_wait(&lab->list, "a", 1));
    snprintf(moved, sizeof moved, "%s.1", f.path);
    assert_int_equal(rename(f.path, moved), 0);
    list_journal_add(&lab->list, 1, "resolved", NULL);
    assert_true(list_journal_wait(&lab->list, "a", 2));
    assert_string_equal(ids_in(moved), "1");
    assert_string_equal(ids_in(f.path), "2");
}

static void a_folder_that_is_not_there_is_waited_for(void **state)
{
    struct feed_lab *lab = *state;
    struct feed_conf f = jsonl(lab, "a");
    snprintf(f.path, sizeof f.path, "%s/in/a.jsonl", lab->folder.path);
    list_journal_add(&lab->list, 1, "firing", NULL);
    feed_lab_start(lab, &f, 1);
    WAIT_UNTIL(strstr(list_journal_saved(&lab->list, "a").failure, "opening") != NULL);
    assert_int_equal(mkdir(temp_folder_file(&lab->folder, "in"), 0700), 0);
    assert_true(list_journal_wait(&lab->list, "a", 1));
    WAIT_UNTIL(list_journal_saved(&lab->list, "a").failure[0] == '\0');
    assert_string_equal(ids_in(f.path), "1");
}

static void a_device_or_a_pipe_is_no_file_to_append_to(void **state)
{
    struct feed_lab *lab = *state;
    struct feed_conf f = jsonl(lab, "a");
    assert_int_equal(mkfifo(f.path, 0600), 0);
    feed_lab_start(lab, &f, 1);
    WAIT_UNTIL(strstr(list_journal_saved(&lab->list, "a").failure, "not a regular file") != NULL);
}

static void a_journal_that_was_away_is_read_on_where_it_stood(void **state)
{
    struct feed_lab *lab = *state;
    struct feed_conf f = jsonl(lab, "a");
    list_journal_add(&lab->list, 1, "firing", NULL);
    feed_lab_start(lab, &f, 1);
    assert_true(list_journal_wait(&lab->list, "a", 1));
    list_journal_set_away(&lab->list, true);
    WAIT_UNTIL(!list_journal_saved(&lab->list, "a").is_open);
    list_journal_add(&lab->list, 1, "acknowledged", NULL);
    list_journal_add(&lab->list, 1, "resolved", NULL);
    list_journal_set_away(&lab->list, false);
    assert_true(list_journal_wait(&lab->list, "a", 3));
    assert_string_equal(ids_in(f.path), "1 2 3");
}

static void feeds_change_while_they_run_and_what_stays_is_not_disturbed(void **state)
{
    struct feed_lab *lab = *state;
    struct feed_conf before[] = {jsonl(lab, "a"), jsonl(lab, "b")};
    struct feed_conf after[] = {jsonl(lab, "c"), jsonl(lab, "a")};
    list_journal_add(&lab->list, 1, "firing", NULL);
    feed_lab_start(lab, before, 2);
    assert_true(list_journal_wait(&lab->list, "b", 1));
    feed_lab_start(lab, after, 2);
    WAIT_UNTIL(!list_journal_saved(&lab->list, "b").is_open);
    list_journal_add(&lab->list, 1, "resolved", NULL);
    assert_true(list_journal_wait(&lab->list, "a", 2));
    assert_true(list_journal_wait(&lab->list, "c", 2));
    assert_string_equal(ids_in(before[0].path), "1 2");
    assert_string_equal(ids_in(before[1].path), "1");
    assert_string_equal(ids_in(after[0].path), "1 2");
}

static void a_feed_that_changed_waits_for_its_former_self(void **state)
{
    struct feed_lab *lab = *state;
    struct feed_conf f = jsonl(lab, "a");
    list_journal_add(&lab->list, 1, "firing", NULL);
    feed_lab_start(lab, &f, 1);
    assert_true(list_journal_wait(&lab->list, "a", 1));
    snprintf(f.path, sizeof f.path, "%s/other.jsonl", lab->folder.path);
    feed_lab_start(lab, &f, 1);
    list_journal_add(&lab->list, 1, "resolved", NULL);
    assert_true(list_journal_wait(&lab->list, "a", 2));
    WAIT_UNTIL(strcmp(ids_in(f.path), "2") == 0);
}

static bool prints(struct feed_lab *lab, const char *line)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    notify_print(lab->notify, out, "p");
    fclose(out);
    bool is_there = strstr(text, line) != NULL;
    free(text);
    return is_there;
}

static void gauges_say_which_feed_works_and_how_far_it_is(void **state)
{
    struct feed_lab *lab = *state;
    struct feed_conf feeds[] = {jsonl(lab, "a"), jsonl(lab, "b")};
    snprintf(feeds[1].path, sizeof feeds[1].path, "/nowhere/at/all");
    list_journal_add(&lab->list, 1, "firing", NULL);
    feed_lab_start(lab, feeds, 2);
    assert_true(list_journal_wait(&lab->list, "a", 1));
    WAIT_UNTIL(list_journal_saved(&lab->list, "b").failure[0] != '\0');
    WAIT_UNTIL(prints(lab, "penstock_feed_up{program=\"p\",feed=\"a\"} 1\n"));
    assert_true(prints(lab, "penstock_feed_up{program=\"p\",feed=\"b\"} 0\n"));
    assert_true(prints(lab, "penstock_feed_event_id{program=\"p\",feed=\"a\"} 1\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAB_TEST(states_are_appended_in_order_and_the_cursor_follows),
        LAB_TEST(a_new_feed_begins_now_and_goes_on_where_it_was),
        LAB_TEST(more_than_a_batch_is_caught_up_with),
        LAB_TEST(half_a_line_that_a_crash_left_is_written_again_whole),
        LAB_TEST(a_file_that_was_moved_away_is_made_again),
        LAB_TEST(a_folder_that_is_not_there_is_waited_for),
        LAB_TEST(a_device_or_a_pipe_is_no_file_to_append_to),
        LAB_TEST(a_journal_that_was_away_is_read_on_where_it_stood),
        LAB_TEST(feeds_change_while_they_run_and_what_stays_is_not_disturbed),
        LAB_TEST(a_feed_that_changed_waits_for_its_former_self),
        LAB_TEST(gauges_say_which_feed_works_and_how_far_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
