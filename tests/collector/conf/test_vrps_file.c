/* VRPs as validators export them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/conf/vrps_file.h"
#include "shared/base/clock.h"
#include "tests/support/temp_file.h"

#define NOW (1795251600 * (int64_t)NS_PER_S)

static struct vrps *vrps;
static struct lines lines;
static struct note note;

static int load(const char *text)
{
    struct temp_file file;
    assert_int_equal(temp_file_open(&file, text), 0);
    vrps_free(vrps);
    note.text[0] = '\0';
    int err = vrps_load(file.path, NOW, &vrps, &lines, &note);
    temp_file_close(&file);
    return err;
}

static int end(void **state)
{
    (void)state;
    vrps_free(vrps);
    vrps = NULL;
    return 0;
}

static void assert_both(void)
{
    struct prefix v4, v6;
    assert_string_equal(note.text, "");
    assert_int_equal(prefix_parse("203.0.113.0/24", &v4), 0);
    assert_int_equal(prefix_parse("2001:db8:7::/48", &v6), 0);
    assert_int_equal(vrps_count(vrps), 2);
    assert_int_equal(vrps_validate(vrps, &v4, 64501), RPKI_VALID);
    assert_int_equal(vrps_validate(vrps, &v4, 64502), RPKI_INVALID);
    assert_int_equal(vrps_validate(vrps, &v6, 4200000000), RPKI_VALID);
}

static void rpki_clients_json_is_read(void **state)
{
    (void)state;
    assert_int_equal(
        load("{\n\t\"metadata\": {\n\t\t\"buildmachine\": \"x\", \"roas\": 2, \"vrps\": 2,\n"
             "\t\t\"elapsedtime\": \"1\"\n\t},\n\n\t\"roas\": [\n"
             "\t\t{ \"asn\": 64501, \"prefix\": \"203.0.113.0/24\", \"maxLength\": 24, \"ta\": "
             "\"ripe\", \"expires\": 1999999999 },\n"
             "\t\t{ \"asn\": 4200000000, \"prefix\": \"2001:db8::/32\", \"maxLength\": 48, \"ta\": "
             "\"apnic\", \"expires\": 1999999999 }\n\t],\n\n\t\"bgpsec_keys\": [\n\t],\n\n"
             "\t\"provider_authorizations\": {\n\t\t\"ipv4\": [],\n\t\t\"ipv6\": []\n\t}\n}\n"),
        0);
    assert_both();
}

static void routinators_json_is_read(void **state)
{
    (void)state;
    assert_int_equal(
        load("{\n  \"metadata\": {\n    \"generated\": 1795251600,\n    \"generatedTime\": "
             "\"2026-11-21T09:00:00Z\"\n  },\n  \"roas\": [\n"
             "    { \"asn\": \"AS64501\", \"prefix\": \"203.0.113.0/24\", \"maxLength\": 24, "
             "\"ta\": \"ripe\" },\n"
             "    { \"asn\": \"AS4200000000\", \"prefix\": \"2001:db8::/32\", \"maxLength\": 48, "
             "\"ta\": \"apnic\" }\n  ]\n}"),
        0);
    assert_both();
}

static void stayrtrs_json_on_one_line_is_read(void **state)
{
    (void)state;
    assert_int_equal(
        load("{\"roas\":[{\"prefix\":\"203.0.113.0/24\",\"maxLength\":24,\"asn\":\"64501\"},"
             "{\"prefix\":\"2001:db8::/32\",\"maxLength\":48,\"asn\":4200000000}],"
             "\"metadata\":{\"counts\":2}}"),
        0);
    assert_both();
}

static void rpki_clients_csv_is_read(void **state)
{
    (void)state;
    assert_int_equal(load("ASN,IP Prefix,Max Length,Trust Anchor,Expires\n"
                          "AS64501,203.0.113.0/24,24,ripe,1999999999\n"
                          "AS4200000000,2001:db8::/32,48,apnic,1999999999\n"),
                     0);
    assert_both();
}

static void routinators_csv_is_read(void **state)
{
    (void)state;
    assert_int_equal(load("ASN,IP Prefix,Max Length,Trust Anchor\r\n"
                          "AS64501,203.0.113.0/24,24,ripe\r\n"
                          "AS4200000000,2001:db8::/32,48,apnic\r\n"),
                     0);
    assert_both();
}

static void expired_payloads_do_not_count(void **state)
{
    (void)state;
    assert_int_equal(load("ASN,IP Prefix,Max Length,Trust Anchor,Expires\n"
                          "AS1,10.0.0.0/8,8,ripe,1795251600\n"
                          "AS2,10.0.0.0/8,8,ripe,1795251601\n"),
                     0);
    assert_int_equal(vrps_count(vrps), 1);
    assert_int_equal(lines.passed, 1);
    assert_int_equal(load("ASN,IP Prefix,Max Length,Trust Anchor,Expires\n"
                          "AS1,10.0.0.0/8,8,ripe,1795251600\n"),
                     ERR_CONF);
    assert_non_null(strstr(note.text, "expired"));
}

static void a_few_bad_ones_are_counted_and_passed_over(void **state)
{
    (void)state;
    static const char *const bad[] = {"ASx,10.0.0.0/8,8,t\n",  "AS4294967296,10.0.0.0/8,8,t\n",
                                      "AS1,10.0.0.1/8,8,t\n",  "AS1,10.0.0.0/8,7,t\n",
                                      "AS1,10.0.0.0/8,33,t\n", "AS1,10.0.0.0/8\n",
                                      "AS1,10.0.0.0,8,t\n",    "AS1,10.0.0.0/8,,t\n",
                                      "1,2,3,4,5,6\n",         "AS1,10.0.0.0/8,8,t,soon\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[2048] = "ASN,IP Prefix,Max Length,Trust Anchor\n";
        for (unsigned n = 0; n < 20; n++) {
            char line[64];
            snprintf(line, sizeof line, "AS1,10.%u.0.0/16,16,t\n", n);
            strcat(text, line);
        }
        strcat(text, bad[i]);
        assert_int_equal(load(text), 0);
        assert_int_equal(lines.refused, 1);
        assert_int_equal(lines.first, 22);
        assert_int_equal(vrps_count(vrps), 20);
    }
}

static void other_files_and_half_written_ones_are_refused(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"", "expected JSON with a list roas, or CSV"},
        {"hello\n", "expected JSON with a list roas, or CSV"},
        {"[]", "expected JSON with a list roas, or CSV"},
        {"URI,ASN,IP Prefix,Max Length,Not Before,Not After\n", "expected JSON"},
        {"{}", "no list roas"},
        {"{\"roas\": []}", "nothing in it"},
        {"{\"roas\": {}}", "expected a list"},
        {"{\"metadata\": {}}", "no list roas"},
        {"{\"metadata\": {}", "cut off"},
        {"{\"roas\": [", "cut off"},
        {"{\"roas\": [{\"asn\": 1, \"prefix\": \"10.0.0.0/8\", \"maxLength\": 8}", "cut off"},
        {"{\"roas\": [{\"asn\": 1, \"prefix\": \"10.0.0.0/8\", \"maxLength\": 8},", "cut off"},
        {"{\"roas\": [{\"asn\": 1, \"prefix\": \"10.0.0.0/8\", \"maxLength\": 8}]", "cut off"},
        {"{\"roas\": [{\"asn\": 1, \"prefix\": \"10.0.0.0/8\", \"maxLength\": 8}]} x", "no JSON"},
        {"{\"roas\": [1]}", ":1: expected an object (1 of 1 elements are refused"},
        {"{\"roas\": [{\"asn\": -1, \"prefix\": \"10.0.0.0/8\"}]}", "asn: expected an AS number"},
        {"{\"roas\": [{\"asn\": 1, \"prefix\": 7}]}", "prefix: expected a text"},
        {"ASN,IP Prefix,Max Length,Trust Anchor\nAS1,10.0.0.0/8,8,t\nAS1,11.0", "within a line"},
        {"ASN,IP Prefix,Max Length,Trust Anchor\n", "nothing in it"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        assert_int_equal(load(pairs[i][0]), ERR_CONF);
        assert_null(vrps);
        if (strstr(note.text, pairs[i][1]) == NULL)
            fail_msg("\"%s\": \"%s\" does not say \"%s\"", pairs[i][0], note.text, pairs[i][1]);
    }
    assert_int_equal(vrps_load("no/such", NOW, &vrps, &lines, &note), ERR_CONF);
    assert_string_equal(note.text, "no/such: cannot read: No such file or directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(rpki_clients_json_is_read, end),
        cmocka_unit_test_teardown(routinators_json_is_read, end),
        cmocka_unit_test_teardown(stayrtrs_json_on_one_line_is_read, end),
        cmocka_unit_test_teardown(rpki_clients_csv_is_read, end),
        cmocka_unit_test_teardown(routinators_csv_is_read, end),
        cmocka_unit_test_teardown(expired_payloads_do_not_count, end),
        cmocka_unit_test_teardown(a_few_bad_ones_are_counted_and_passed_over, end),
        cmocka_unit_test_teardown(other_files_and_half_written_ones_are_refused, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
