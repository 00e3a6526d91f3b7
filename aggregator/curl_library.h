/* curl_library.h: libcurl, loaded when it is first used.
 *
 * With it come some fifteen libraries (Kerberos, LDAP, RTMP, SSH, …) that no other part uses: a start without
 * an e-mail takes one to three milliseconds of CPU less, and they are not there in a process that reads what
 * strangers send. curl_library.c defines those functions of libcurl that the mail calls, under their names:
 * what includes curl/curl.h is written as ever. */
#ifndef NIFFLER_AGGREGATOR_CURL_LIBRARY_H
#define NIFFLER_AGGREGATOR_CURL_LIBRARY_H

#include "common/error.h"

/* Load it, if it is not there yet. Where that fails, all functions fail as libcurl's own do when memory is
 * lacking. Fails with ERROR_FATAL. */
MUST_CHECK bool curl_library_load(struct error *err);

#endif
