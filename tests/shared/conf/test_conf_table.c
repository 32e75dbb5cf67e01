#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/shared/conf/sample_table.h"

static struct sample s;
static struct conf c;
static struct note note;

static void begin(void)
{
    s = (struct sample){0};
    conf_begin(&c, &sample_table, &s, &note);
}

static int load(const char *text)
{
    begin();
    conf_text(&c, "x.yaml", text, strlen(text));
    return conf_end(&c);
}

static int set(const char *setting)
{
    begin();
    conf_set(&c, setting);
    return conf_end(&c);
}

static void assert_wrong(const char *text, const char *sentence)
{
    int err = load(text);
    assert_string_equal(note.text, sentence);
    assert_int_equal(err, ERR_CONF);
}

static void defaults_stand_where_nothing_is_said(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "# nothing\n", "---\n", "a:\nb: {}\n"};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(load(texts[i]), 0);
        assert_string_equal(note.text, "");
        assert_string_equal(s.text, "x: #y");
        assert_true(s.flag);
        assert_int_equal(s.number, 12);
        assert_int_equal(s.small, 3);
        assert_int_equal(s.queues, 0);
        assert_true(s.real > 0.99e-4 && s.real < 1.01e-4);
        assert_true(s.duration == UINT64_C(60000000000));
        assert_int_equal(s.size, 64 << 20);
        assert_int_equal(s.word, 1);
        assert_int_equal(s.prefix_count + s.text_count + s.record_count, 0);
    }
}

static void every_type_is_read(void **state)
{
    (void)state;
    assert_int_equal(load("a: {text: \"1 2\", flag: false, number: 1000, small: 65535}\n"
                          "b:\n  queues: 7\n  real: 0.25\n  duration: 500ms\n  size: 2 KiB\n"
                          "  word: off\n"
                          "c: {prefixes: [10.0.0.0/8, 2001:db8::/32], texts: [ab, \"c,d\"]}\n"
                          "records:\n"
                          "  - {vlan: 7, mac: 02:00:00:00:00:07, router: r1, prefix: 192.0.2.1}\n"
                          "  - {router: r2, deep: [{word: x}, {word: yz}]}\n"),
                     0);
    assert_string_equal(s.text, "1 2");
    assert_false(s.flag);
    assert_int_equal(s.number, 1000);
    assert_int_equal(s.small, 65535);
    assert_int_equal(s.queues, 7);
    assert_true(s.real == 0.25);
    assert_int_equal(s.duration, 500000000);
    assert_int_equal(s.size, 2048);
    assert_int_equal(s.word, 2);
    assert_int_equal(s.prefix_count, 2);
    assert_int_equal(s.prefixes[1].length, 32);
    assert_int_equal(s.text_count, 2);
    assert_string_equal(s.texts[1], "c,d");
    assert_int_equal(s.record_count, 2);
    assert_int_equal(s.records[0].vlan, 7);
    assert_int_equal(s.records[0].mac[5], 7);
    assert_int_equal(s.records[0].prefix.length, 32);
    assert_int_equal(s.records[1].vlan, 0);
    assert_int_equal(s.records[1].deep_count, 2);
    assert_string_equal(s.records[1].deep[1].word, "yz");
}

static void a_mistake_says_file_line_key_expectation_and_finding(void **state)
{
    (void)state;
    assert_wrong("a:\n  number: many\n",
                 "x.yaml:2: a.number: expected a whole number from 1 to 1000, got \"many\"");
    assert_wrong("b:\n  duration: 5\n", "x.yaml:2: b.duration: expected a duration from 1ms to 1h, "
                                        "written like 500ms, 60s, 1h, got \"5\"");
    assert_wrong("a: {text: longer than}", "x.yaml:1: a.text: expected text of at most 7 "
                                           "characters, got \"longer than\"");
    assert_wrong("b: {word: no}", "x.yaml:1: b.word: expected one of one, two, off, got \"no\"");
    assert_wrong("b: {queues: 0}",
                 "x.yaml:1: b.queues: expected a whole number from 1 to 64 or all, got \"0\"");
    assert_wrong("a: {flag: [x]}", "x.yaml:1: a.flag: expected true or false, got a list");
    assert_wrong("a: {number: }",
                 "x.yaml:1: a.number: expected a whole number from 1 to 1000, got nothing");
    assert_wrong("a: 3", "x.yaml:1: a: expected a map of its keys, got \"3\"");
    assert_wrong("- a", "x.yaml:1: expected a map of sections, got a list");
    assert_wrong("\n\nc: {texts: x}", "x.yaml:3: c.texts: expected a list, got \"x\"");
    assert_wrong("records:\n - router: r\n   vlan: 4095\n",
                 "x.yaml:3: records[1].vlan: expected a whole number from 1 to 4094, got \"4095\"");
    assert_wrong("records:\n - router: r\n - vlan: 3\n",
                 "x.yaml:3: records[2].router: missing; every entry must say it");
    assert_wrong("records: [x]", "x.yaml:1: records[1]: expected a map, got \"x\"");
}

static void numbers_out_of_range_or_of_another_shape_are_refused(void **state)
{
    (void)state;
    static const char *const settings[] = {
        "a.number=0",    "a.number=1001",   "a.number=-1",
        "a.number=+1",   "a.number= 1",     "a.number=1 ",
        "a.number=0x10", "a.number=1.0",    "a.number=99999999999999999999999",
        "a.small=65536", "b.real=nan",      "b.real=inf",
        "b.real=0.6",    "b.real=0",        "b.real=0x1p-3",
        "b.real=1,5",    "b.real=",         "b.duration=0s",
        "b.duration=2h", "b.duration=1.5s", "b.duration=s",
        "b.duration=1 ", "b.duration=1sec", "b.duration=99999999999999999h",
        "b.size=1000",   "b.size=1MB",      "b.size=MiB",
        "a.flag=yes",    "a.flag=True",     "b.word=",
        "b.word=One",    "a.text=a\tb",
    };
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        if (set(settings[i]) != ERR_CONF)
            fail_msg("\"%s\" was taken", settings[i]);
}

static void an_unknown_key_is_a_mistake_and_the_nearest_is_named(void **state)
{
    (void)state;
    assert_wrong("a:\n  numbr: 3\n", "x.yaml:2: unknown key \"a.numbr\"; did you mean a.number?");
    assert_wrong("record: []", "x.yaml:1: unknown key \"record\"; did you mean records?");
    assert_wrong("a: {duration: 3s}",
                 "x.yaml:1: unknown key \"a.duration\"; did you mean b.duration?");
    assert_wrong("quite_else: 3", "x.yaml:1: unknown key \"quite_else\"");
    assert_wrong("records: [{router: r, vlam: 3}]",
                 "x.yaml:1: unknown key \"records[1].vlam\"; did you mean vlan?");
    assert_wrong("<<: {a: 1}", "x.yaml:1: unknown key \"<<\"");
}

static void a_key_given_twice_is_a_mistake(void **state)
{
    (void)state;
    assert_wrong("a:\n  number: 3\n  number: 4\n",
                 "x.yaml:3: a.number: given twice, first in line 2");
    assert_wrong("a: {number: 3}\nb: {}\na: {small: 3}\n",
                 "x.yaml:3: a: given twice, first in line 1");
    assert_wrong("records: [{router: a, router: b}]",
                 "x.yaml:1: records[1].router: given twice, first in line 1");
}

static void prefixes_must_be_whole_and_stand_once(void **state)
{
    (void)state;
    assert_wrong("c: {prefixes: [10.0.0.0/8, 11.0.0.0/8, 10.0.0.0/8]}",
                 "x.yaml:1: c.prefixes[3]: 10.0.0.0/8 stands twice in the list");
    assert_wrong("c: {prefixes: [10.0.0.1/8]}",
                 "x.yaml:1: c.prefixes[1]: expected a prefix, written like 203.0.113.0/24 or "
                 "2001:db8::/32, with no bits set beyond its length, got \"10.0.0.1/8\"");
}

static void a_list_longer_than_its_place_is_refused(void **state)
{
    (void)state;
    assert_int_equal(load("c: {texts: [a, b, c]}"), 0);
    assert_wrong("c:\n  texts: [a, b,\n   c, d]\n",
                 "x.yaml:3: c.texts: expected at most 3 entries, here is one more");
}

static void anchors_aliases_tags_and_second_documents_are_refused(void **state)
{
    (void)state;
    assert_wrong("a: &x {number: 3}\n", "x.yaml:1: anchors (&name) are not understood here");
    assert_wrong("a:\n  text: *x\n", "x.yaml:2: aliases (*name) are not understood here; put text "
                                     "that starts with * in quotes");
    assert_wrong("a:\n  text: !!str x\n", "x.yaml:2: tags (!name) are not understood here");
    assert_wrong("a: {}\n---\nb: {}\n", "x.yaml:2: a second document starts here; one file holds "
                                        "one");
    assert_wrong("a:\n  [1, 2]: 3\n", "x.yaml:2: a key must be a word, not a list or a map");
}

static void what_is_no_yaml_is_told_with_its_line(void **state)
{
    (void)state;
    assert_int_equal(load("a:\n  text: \"open\n"), ERR_CONF);
    assert_non_null(strstr(note.text, "x.yaml:3: this is not YAML: "));
    assert_int_equal(load("a:\n\tnumber: 3\n"), ERR_CONF);
    assert_non_null(strstr(note.text, "x.yaml:2: this is not YAML: "));
    assert_int_equal(load("a: {}\n# \xff\xfe\n"), ERR_CONF);
    assert_non_null(strstr(note.text, "x.yaml:2: this is not YAML: "));
}

static void deep_nesting_is_refused_before_it_costs(void **state)
{
    (void)state;
    char deep[20000];
    memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    assert_int_equal(load(deep), ERR_CONF);
    assert_non_null(strstr(note.text, "nested deeper than 12 levels"));
}

static void all_mistakes_are_told_one_per_line(void **state)
{
    (void)state;
    assert_wrong("a:\n  number: x\n  nope: 3\nb: {word: 3}\n",
                 "x.yaml:2: a.number: expected a whole number from 1 to 1000, got \"x\"\n"
                 "x.yaml:3: unknown key \"a.nope\"\n"
                 "x.yaml:4: b.word: expected one of one, two, off, got \"3\"");
}

static void very_many_mistakes_fit_in_the_note_as_whole_sentences(void **state)
{
    (void)state;
    char text[8000] = "";
    for (int i = 0; i < 200; i++)
        sprintf(text + strlen(text), "key_number_%d: 1\n", i);
    assert_int_equal(load(text), ERR_CONF);
    assert_int_equal(c.wrong, CONF_WRONG_MAX);
    assert_true(strlen(note.text) < sizeof note.text);
    assert_int_equal(note.text[strlen(note.text) - 1], '"');
}

static void control_characters_of_a_value_are_not_printed(void **state)
{
    (void)state;
    assert_int_equal(load("b: {word: \"\\e[2Jx\\n\"}"), ERR_CONF);
    assert_non_null(strstr(note.text, "got \"?[2Jx?\""));
}

static void a_setting_overrides_the_file(void **state)
{
    (void)state;
    static const char text[] = "a: {number: 5, text: abc}\nc: {prefixes: [10.0.0.0/8]}\n"
                               "records: [{router: a}, {router: b, vlan: 3}]\n";
    begin();
    conf_text(&c, "x.yaml", text, strlen(text));
    conf_set(&c, "a.number=6");
    conf_set(&c, "a.text=tcp://*");
    conf_set(&c, "c.prefixes=[11.0.0.0/8, 2001:db8::/32]");
    conf_set(&c, "records=[{router: z}]");
    assert_int_equal(conf_end(&c), 0);
    assert_int_equal(s.number, 6);
    assert_string_equal(s.text, "tcp://*");
    assert_int_equal(s.prefix_count, 2);
    assert_int_equal(s.prefixes[0].addr.bytes[0], 11);
    assert_int_equal(s.record_count, 1);
    assert_string_equal(s.records[0].router, "z");
    assert_int_equal(s.records[0].vlan, 0);
}

static void a_wrong_setting_is_told_as_one(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"a.number=x", "--set: a.number: expected a whole number from 1 to 1000, got \"x\""},
        {"a.numbr=1", "--set: unknown key \"a.numbr\"; did you mean a.number?"},
        {"a.number", "--set: expected KEY=VALUE, got \"a.number\""},
        {"=3", "--set: expected KEY=VALUE, got \"=3\""},
        {"a=3", "--set: a: is a section; set one of its keys"},
        {"c.texts=x", "--set: c.texts: expected a list, got \"x\""},
        {"c.texts=", "--set: c.texts: expected a list, got nothing"},
        {"c.texts=*x",
         "--set: c.texts: aliases (*name) are not understood here; put text that starts with "
         "* in quotes"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        int err = set(pairs[i][0]);
        assert_string_equal(note.text, pairs[i][1]);
        assert_int_equal(err, ERR_CONF);
    }
    assert_int_equal(set("c.texts=[a"), ERR_CONF);
    assert_int_equal(set("a.text=\"a b\""), 0);
    assert_string_equal(s.text, "a b");
    assert_int_equal(set("a.text="), 0);
    assert_string_equal(s.text, "");
}

static void a_mistake_of_the_caller_s_finding_has_the_key_s_line(void **state)
{
    (void)state;
    begin();
    conf_text(&c, "x.yaml", "\na: {number: 5}\n", 16);
    assert_true(conf_is_given(&c, "a.number"));
    assert_false(conf_is_given(&c, "a.small"));
    conf_wrong(&c, "a.number", "must not be %d", 5);
    conf_wrong(&c, "a.small", "is missed");
    conf_set(&c, "a.small=3");
    conf_wrong(&c, "a.small", "is odd");
    assert_int_equal(conf_end(&c), ERR_CONF);
    assert_string_equal(note.text, "x.yaml:2: a.number: must not be 5\n"
                                   "x.yaml: a.small: is missed\n"
                                   "--set: a.small: is odd");
}

static void a_refused_value_is_told_once(void **state)
{
    (void)state;
    begin();
    conf_text(&c, "x.yaml", "b: {word: thre}", 15);
    conf_wrong(&c, "b.word", "two needs something else");
    assert_int_equal(conf_end(&c), ERR_CONF);
    assert_string_equal(note.text, "x.yaml:1: b.word: expected one of one, two, off, got \"thre\"");
}

static void a_file_that_cannot_be_read_is_told(void **state)
{
    (void)state;
    begin();
    conf_file(&c, "no/such/file.yaml");
    assert_int_equal(conf_end(&c), ERR_CONF);
    assert_string_equal(note.text, "no/such/file.yaml: cannot read: No such file or directory");
    begin();
    conf_file(&c, "/");
    assert_int_equal(conf_end(&c), ERR_CONF);
}

static void a_file_that_is_too_long_is_refused(void **state)
{
    (void)state;
    char path[] = "/tmp/penstock-conf-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, CONF_FILE_MAX + 1), 0);
    close(fd);
    begin();
    conf_file(&c, path);
    unlink(path);
    assert_int_equal(conf_end(&c), ERR_CONF);
    assert_non_null(strstr(note.text, "the file is longer than 16 MiB"));
}

static void what_explain_prints_loads_and_gives_the_defaults(void **state)
{
    (void)state;
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    conf_explain(&sample_table, out);
    fclose(out);
    assert_int_equal(load(""), 0);
    struct sample defaults = s;
    int err = load(text);
    assert_string_equal(note.text, "");
    assert_int_equal(err, 0);
    assert_memory_equal(&s, &defaults, sizeof s);
    for (size_t i = 0; i < sample_table.row_count; i++)
        assert_true(conf_is_given(&c, sample_table.rows[i].key));
    assert_non_null(strstr(text, "  # A number.\n  # Takes a whole number from 1 to 1000 "
                                 "(segments); default: 12.\n  number: 12\n"));
    free(text);
}

struct seen {
    unsigned count;
    char routers[64];
};

static int see(void *arg, const void *record, struct note *why)
{
    struct seen *seen = arg;
    const struct sample_record *r = record;
    seen->count++;
    strcat(seen->routers, r->router);
    return strcmp(r->router, "bad") == 0 ? note_set(why, ERR_CONF, "router: bad is bad") : 0;
}

static int load_list(const char *text, struct seen *seen)
{
    static const struct conf_table records = {"", sample_record_rows, 5};
    struct sample_record r;
    *seen = (struct seen){0};
    return conf_list_text("p.yaml", text, strlen(text), &records, &r, sizeof r, see, seen, &note);
}

static void a_list_file_gives_each_map_in_order(void **state)
{
    (void)state;
    struct seen seen;
    assert_int_equal(load_list("- {router: a}\n- router: b\n  vlan: 3\n", &seen), 0);
    assert_string_equal(seen.routers, "ab");
    assert_int_equal(load_list("", &seen), 0);
    assert_int_equal(seen.count, 0);
}

static void a_list_file_s_mistakes_have_lines(void **state)
{
    (void)state;
    struct seen seen;
    assert_int_equal(load_list("- {router: a}\n- {router: bad}\n- {vlan: 3}\n- x\n", &seen),
                     ERR_CONF);
    assert_string_equal(note.text, "p.yaml:2: router: bad is bad\n"
                                   "p.yaml:3: [3].router: missing; every entry must say it\n"
                                   "p.yaml:4: expected a map, got \"x\"");
    assert_int_equal(load_list("a: 3", &seen), ERR_CONF);
    assert_string_equal(note.text, "p.yaml:1: expected a list of maps, got a map");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_stand_where_nothing_is_said),
        cmocka_unit_test(every_type_is_read),
        cmocka_unit_test(a_mistake_says_file_line_key_expectation_and_finding),
        cmocka_unit_test(numbers_out_of_range_or_of_another_shape_are_refused),
        cmocka_unit_test(an_unknown_key_is_a_mistake_and_the_nearest_is_named),
        cmocka_unit_test(a_key_given_twice_is_a_mistake),
        cmocka_unit_test(prefixes_must_be_whole_and_stand_once),
        cmocka_unit_test(a_list_longer_than_its_place_is_refused),
        cmocka_unit_test(anchors_aliases_tags_and_second_documents_are_refused),
        cmocka_unit_test(what_is_no_yaml_is_told_with_its_line),
        cmocka_unit_test(deep_nesting_is_refused_before_it_costs),
        cmocka_unit_test(all_mistakes_are_told_one_per_line),
        cmocka_unit_test(very_many_mistakes_fit_in_the_note_as_whole_sentences),
        cmocka_unit_test(control_characters_of_a_value_are_not_printed),
        cmocka_unit_test(a_setting_overrides_the_file),
        cmocka_unit_test(a_wrong_setting_is_told_as_one),
        cmocka_unit_test(a_mistake_of_the_caller_s_finding_has_the_key_s_line),
        cmocka_unit_test(a_refused_value_is_told_once),
        cmocka_unit_test(a_file_that_cannot_be_read_is_told),
        cmocka_unit_test(a_file_that_is_too_long_is_refused),
        cmocka_unit_test(what_explain_prints_loads_and_gives_the_defaults),
        cmocka_unit_test(a_list_file_gives_each_map_in_order),
        cmocka_unit_test(a_list_file_s_mistakes_have_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
