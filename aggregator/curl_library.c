#include "aggregator/curl_library.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LIBRARY "libcurl.so.4" /* its ABI since 2006 */

#define FUNCTIONS(X)                       \
    X(global_init, curl_global_init)       \
    X(global_cleanup, curl_global_cleanup) \
    X(easy_init, curl_easy_init)           \
    X(easy_cleanup, curl_easy_cleanup)     \
    X(easy_perform, curl_easy_perform)     \
    X(easy_setopt, curl_easy_setopt)       \
    X(easy_getinfo, curl_easy_getinfo)     \
    X(easy_strerror, curl_easy_strerror)   \
    X(slist_append, curl_slist_append)     \
    X(slist_free_all, curl_slist_free_all) \
    X(url, curl_url)                       \
    X(url_set, curl_url_set)               \
    X(url_get, curl_url_get)               \
    X(url_cleanup, curl_url_cleanup)       \
    X(free, curl_free)

static struct {
#define POINTER(name, function) __typeof__(function) *name;
    FUNCTIONS(POINTER)
} library;
static bool is_loaded;
static char reason[200];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static bool look_up(void *handle, const char *name, void *pointer)
{
    void *found = dlsym(handle, name);
    memcpy(pointer, &found, sizeof found);
    return found != NULL;
}

/* It stays loaded: its own libraries do not stand being taken away. */
static void load(void)
{
    void *handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    is_loaded = handle != NULL;
#define LOOK_UP(name, function) is_loaded = is_loaded && look_up(handle, #function, &library.name);
    FUNCTIONS(LOOK_UP)
    if (is_loaded)
        return;
    const char *words = dlerror();
    (void)snprintf(reason, sizeof reason, "%s", words != NULL ? words : LIBRARY);
}

static bool is_there(void)
{
    return pthread_once(&once, load) == 0 && is_loaded;
}

bool curl_library_load(struct error *err)
{
    return is_there() ||
           error_set(err, ERROR_FATAL,
                     "cannot load libcurl, which sends the e-mail (%s): install it (libcurl4)", reason);
}

/* ---- libcurl's names; in parentheses, since some of them are macros as well ---- */

CURLcode(curl_global_init)(long flags)
{
    return is_there() ? library.global_init(flags) : CURLE_FAILED_INIT;
}

void(curl_global_cleanup)(void)
{
    if (is_there())
        library.global_cleanup();
}

CURL *(curl_easy_init)(void)
{
    return is_there() ? library.easy_init() : NULL;
}

void(curl_easy_cleanup)(CURL *handle)
{
    if (is_there())
        library.easy_cleanup(handle);
}

CURLcode(curl_easy_perform)(CURL *handle)
{
    return is_there() ? library.easy_perform(handle) : CURLE_FAILED_INIT;
}

/* The type of the value is that of the option's range. */
CURLcode(curl_easy_setopt)(CURL *handle, CURLoption option, ...)
{
    va_list arguments;
    CURLcode code = CURLE_FAILED_INIT;
    if (!is_there())
        return code;
    va_start(arguments, option);
    if ((int)option < CURLOPTTYPE_OBJECTPOINT)
        code = library.easy_setopt(handle, option, va_arg(arguments, long));
    else if ((int)option >= CURLOPTTYPE_OFF_T && (int)option < CURLOPTTYPE_BLOB)
        code = library.easy_setopt(handle, option, va_arg(arguments, curl_off_t));
    else
        code = library.easy_setopt(handle, option, va_arg(arguments, void *));
    va_end(arguments);
    return code;
}

CURLcode(curl_easy_getinfo)(CURL *handle, CURLINFO info, ...)
{
    va_list arguments;
    if (!is_there())
        return CURLE_FAILED_INIT;
    va_start(arguments, info);
    CURLcode code = library.easy_getinfo(handle, info, va_arg(arguments, void *));
    va_end(arguments);
    return code;
}

const char *(curl_easy_strerror)(CURLcode code)
{
    return is_there() ? library.easy_strerror(code) : "libcurl is not there";
}

struct curl_slist *(curl_slist_append)(struct curl_slist *list, const char *text)
{
    return is_there() ? library.slist_append(list, text) : NULL;
}

void(curl_slist_free_all)(struct curl_slist *list)
{
    if (is_there())
        library.slist_free_all(list);
}

CURLU *(curl_url)(void)
{
    return is_there() ? library.url() : NULL;
}

CURLUcode(curl_url_set)(CURLU *url, CURLUPart part, const char *text, unsigned flags)
{
    return is_there() ? library.url_set(url, part, text, flags) : CURLUE_BAD_HANDLE;
}

/* Its argument is const in the headers of newer versions. */
typedef __typeof__(_Generic(&curl_url_get, CURLUcode (*)(CURLU *, CURLUPart, char **, unsigned)
                            : (CURLU *)NULL, default
                            : (const CURLU *)NULL)) url_to_read;

CURLUcode(curl_url_get)(url_to_read url, CURLUPart part, char **text, unsigned flags)
{
    return is_there() ? library.url_get(url, part, text, flags) : CURLUE_BAD_HANDLE;
}

void(curl_url_cleanup)(CURLU *url)
{
    if (is_there())
        library.url_cleanup(url);
}

void(curl_free)(void *text)
{
    if (is_there())
        library.free(text);
}
