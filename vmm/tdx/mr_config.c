/* SPDX-License-Identifier: Apache-2.0
 * mr_config.c - computes MRCONFIGID: its three forms, and the choice between them.
 *
 * What must hold: the bytes are those that dstack guests compute. A guest compares them and refuses
 * to boot if they differ. The forms and the rule: mr_config.h.
 */
#include "vmm/tdx/mr_config.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/json_js.h"
#include "base/keccak.h"
#include "base/own.h"
#include "base/strings.h"

/* A KMS is identified by the public key of its CA, 91 bytes. The whole .sys-config.json must stay
 * below 32 KiB. */
enum { PROVIDER_ID_MAX = 1024, INIT_SCRIPTS_MAX = 5, INSTANCE_INFO_MAX = 10 * 1024 };

static const char *const kind_word[KEY_PROVIDERS] = { "none", "local", "kms", "tpm" };

/* ------------------------------------------------------------------ the forms */

static void with_version(uint8_t version, const uint8_t digest[SHA256_LEN],
			 uint8_t ret[MR_CONFIG_ID_LEN])
{
	memset(ret, 0, MR_CONFIG_ID_LEN);
	ret[0] = version;
	memcpy(ret + 1, digest, SHA256_LEN);
}

void mr_config_v1(const uint8_t compose_hash[SHA256_LEN], uint8_t ret[MR_CONFIG_ID_LEN])
{
	with_version(1, compose_hash, ret);
}

void mr_config_v2(const uint8_t compose_hash[SHA256_LEN], const uint8_t app_id[APP_ID_LEN],
		  enum key_provider kind, const void *provider_id, size_t n,
		  uint8_t ret[MR_CONFIG_ID_LEN])
{
	const uint8_t kind_byte = (uint8_t)kind;
	uint8_t digest[KECCAK256_LEN];
	auto_buf struct buf b = { 0 };

	buf_add(&b, compose_hash, SHA256_LEN);
	buf_add(&b, app_id, APP_ID_LEN);
	buf_add(&b, &kind_byte, 1);
	buf_add(&b, provider_id, n);
	keccak256(b.data, b.len, digest);
	with_version(2, digest, ret);
}

void mr_config_v3(const char *document, uint8_t ret[MR_CONFIG_ID_LEN])
{
	static const char domain[] = "dstack-mr-config-v3:"; /* its NUL is hashed too */
	uint8_t digest[SHA256_LEN];
	auto_buf struct buf b = { 0 };

	buf_add(&b, domain, sizeof(domain));
	buf_puts(&b, document);
	id_sha256(b.data, b.len, digest);
	with_version(3, digest, ret);
}

void instance_id_of(const uint8_t seed[INSTANCE_SEED_LEN], const uint8_t app_id[APP_ID_LEN],
		    char ret[41])
{
	uint8_t both[INSTANCE_SEED_LEN + APP_ID_LEN], digest[SHA256_LEN];

	memcpy(both, seed, INSTANCE_SEED_LEN);
	memcpy(both + INSTANCE_SEED_LEN, app_id, APP_ID_LEN);
	id_sha256(both, sizeof(both), digest);
	id_hex(digest, APP_ID_LEN, ret);
}

/* ------------------------------------------------------------------ values of the manifest */

struct app {
	enum key_provider kind;
	char *provider_id; /* lower-case hex, owned; NULL: none */
	bool no_instance_id;
	bool binds_scripts; /* true for manifests from version 3 on */
	const json_t *manifest;
};

static void mr_app_end(struct app *a)
{
	free(a->provider_id);
}

static int read_kind(const json_t *m, enum key_provider *ret, struct err *e)
{
	const char *word = json_string_value(json_object_get(m, "key_provider"));

	if (!word) {
		*ret = json_is_true(json_object_get(m, "kms_enabled")) ? KEY_PROVIDER_KMS
		       : json_is_true(json_object_get(m, "local_key_provider_enabled"))
			       ? KEY_PROVIDER_LOCAL
			       : KEY_PROVIDER_NONE;
		return 0;
	}
	for (int i = 0; i < KEY_PROVIDERS; i++) {
		if (strcmp(kind_word[i], word) != 0)
			continue;
		*ret = (enum key_provider)i;
		return 0;
	}
	return err_field(e, ERR_COMPOSE_INVALID, "compose_file.key_provider", word,
			 "expected one of none, kms, local, tpm");
}

static int read_provider_id(const json_t *m, char **ret, struct err *e)
{
	const char *s = json_string_value(json_object_get(m, "key_provider_id"));
	size_t n;

	if (!s || !*s)
		return 0;
	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X'))
		s += 2;
	n = strlen(s);
	if (!n || n % 2 || n > 2 * PROVIDER_ID_MAX || !id_is_hex(s, n))
		return err_field(
			e, ERR_COMPOSE_INVALID, "compose_file.key_provider_id", s,
			"expected an even number of hex digits, at most %d, 0x before them allowed",
			2 * PROVIDER_ID_MAX);
	*ret = xstrdup(s);
	for (char *p = *ret; *p; p++)
		if (*p >= 'A' && *p <= 'F')
			*p = (char)(*p - 'A' + 'a');
	return 0;
}

static int check_scripts(const json_t *m, struct err *e)
{
	const json_t *scripts = json_object_get(m, "init_script"), *s;
	size_t i;

	if (!scripts || json_is_null(scripts) || json_is_string(scripts))
		return 0;
	if (!json_is_array(scripts) || json_array_size(scripts) > INIT_SCRIPTS_MAX)
		return err_field(e, ERR_COMPOSE_INVALID, "compose_file.init_script", NULL,
				 "expected a script, or a list of at most %d", INIT_SCRIPTS_MAX);
	json_array_foreach((json_t *)scripts, i, s)
	{
		if (!json_is_string(s))
			return err_field(e, ERR_COMPOSE_INVALID, "compose_file.init_script", NULL,
					 "entry %zu is not a string", i);
	}
	return 0;
}

static int check_requirements(const json_t *m, struct err *e)
{
	const json_t *r = json_object_get(m, "requirements");

	if (!r || json_is_null(r) || json_is_object(r))
		return 0;
	return err_field(e, ERR_COMPOSE_INVALID, "compose_file.requirements", NULL,
			 "expected an object");
}

/* A number, or its decimal text, which version 3 requires. */
static long manifest_version(const json_t *m)
{
	const json_t *v = json_object_get(m, "manifest_version");

	return json_is_string(v) ? strtol(json_string_value(v), NULL, 10)
				 : (long)json_integer_value(v);
}

static int mr_app_read(const json_t *m, struct app *ret, struct err *e)
{
	*ret = (struct app){ .manifest = m,
			     .no_instance_id = json_is_true(json_object_get(m, "no_instance_id")),
			     .binds_scripts = manifest_version(m) >= 3 };
	if (check_scripts(m, e) < 0 || check_requirements(m, e) < 0 ||
	    read_kind(m, &ret->kind, e) < 0)
		return -(int)e->code;
	return read_provider_id(m, &ret->provider_id, e);
}

int mr_config_check(const json_t *manifest, struct err *e)
{
	__attribute__((cleanup(mr_app_end))) struct app a = { 0 };

	return mr_app_read(manifest, &a, e);
}

/* ------------------------------------------------------------------ the document of version 3 */

static json_t *sha256_text(const char *s)
{
	char hex[SHA256_HEX];

	id_sha256_hex(s, strlen(s), hex);
	return json_string(hex);
}

/* The policy as the manifest has it; a missing one counts as {}. */
static json_t *gpu_policy_hash(const json_t *manifest)
{
	auto_json json_t *none = json_object();
	const json_t *policy =
		json_object_get(json_object_get(manifest, "requirements"), "gpu_policy");
	auto_free char *text = json_jcs(policy ? policy : none);

	return sha256_text(text);
}

static json_t *script_hashes(const json_t *manifest)
{
	const json_t *scripts = json_object_get(manifest, "init_script"), *s;
	json_t *list = json_array();
	size_t i;

	if (json_is_string(scripts))
		json_array_append_new(list, sha256_text(json_string_value(scripts)));
	json_array_foreach((json_t *)scripts, i, s)
	{
		json_array_append_new(list, sha256_text(json_string_value(s)));
	}
	return list;
}

/* @instance_id: "" if the manifest disables it. */
static char *mr_document(const struct app *a, const struct mr_config_input *in,
			 const char *instance_id)
{
	auto_json json_t *j = json_object();
	char compose_hash[SHA256_HEX];

	id_sha256_hex(in->manifest, strlen(in->manifest), compose_hash);
	json_object_set_new(j, "version", json_integer(3));
	json_object_set_new(j, "app_id", json_string(in->app_id));
	json_object_set_new(j, "compose_hash", json_string(compose_hash));
	json_object_set_new(j, "key_provider", json_string(kind_word[a->kind]));
	json_object_set_new(j, "key_provider_id", json_string(a->provider_id));
	if (*instance_id)
		json_object_set_new(j, "instance_id", json_string(instance_id));
	if (in->has_gpus)
		json_object_set_new(j, "gpu_policy_hash", gpu_policy_hash(a->manifest));
	if (a->binds_scripts)
		json_object_set_new(j, "init_script_hashes", script_hashes(a->manifest));
	return json_jcs(j);
}

static char *instance_info_of(const struct mr_config_input *in, const char *instance_id)
{
	auto_json json_t *j = NULL;
	char seed[2 * INSTANCE_SEED_LEN + 1] = "";

	if (in->instance_seed)
		id_hex(in->instance_seed, INSTANCE_SEED_LEN, seed);
	j = json_pack("{s:s,s:s,s:s}", "instance_id_seed", seed, "instance_id", instance_id,
		      "app_id", in->app_id);
	return json_canonical(j);
}

static void mr_config_choose_v3(const struct app *a, const struct mr_config_input *in,
				const uint8_t app_id[APP_ID_LEN], struct mr_config *m)
{
	char instance_id[41] = "";

	assert(a->provider_id && m->version == 0);
	m->version = 3;
	m->pending = !a->no_instance_id && !in->instance_seed;
	if (m->pending)
		return;
	if (!a->no_instance_id)
		instance_id_of(in->instance_seed, app_id, instance_id);
	m->document = mr_document(a, in, instance_id);
	m->instance_info = instance_info_of(in, instance_id);
	mr_config_v3(m->document, m->id);
}

static void mr_config_choose_v2(const struct app *a, const struct mr_config_input *in,
				const uint8_t app_id[APP_ID_LEN], struct mr_config *m)
{
	uint8_t compose_hash[SHA256_LEN], provider_id[PROVIDER_ID_MAX];
	size_t n = strlen(a->provider_id) / 2;

	assert(n <= sizeof(provider_id) && m->version == 0);
	id_sha256(in->manifest, strlen(in->manifest), compose_hash);
	(void)id_unhex(a->provider_id, provider_id, n);
	m->version = 2;
	mr_config_v2(compose_hash, app_id, a->kind, provider_id, n, m->id);
}

static void mr_config_choose_v1(const struct mr_config_input *in, struct mr_config *m)
{
	uint8_t compose_hash[SHA256_LEN];

	id_sha256(in->manifest, strlen(in->manifest), compose_hash);
	m->version = 1;
	mr_config_v1(compose_hash, m->id);
}

/* ------------------------------------------------------------------ choice of the form */

/* True if this is an image of dstack that is older than @major.@minor.@patch. */
static bool is_dstack_before(const struct mr_config_input *in, unsigned major, unsigned minor,
			     unsigned patch)
{
	const unsigned limit[3] = { major, minor, patch };
	unsigned v[3] = { 0 };

	if (strncmp(in->image_family, "dstack", 6) != 0 ||
	    (in->image_family[6] && in->image_family[6] != '-') ||
	    sscanf(in->image_version, "%5u.%5u.%5u", &v[0], &v[1], &v[2]) != 3)
		return false;
	for (int i = 0; i < 3; i++)
		if (v[i] != limit[i])
			return v[i] < limit[i];
	return false;
}

static int refuse_unbound_provider(const struct mr_config_input *in, const struct app *a,
				   struct err *e)
{
	err_field(e, ERR_INCOMPATIBLE, "compose_file.key_provider_id", a->provider_id,
		  "image %.40s %.20s cannot bind a key_provider_id: it does not support MRCONFIGID",
		  in->image_family, in->image_version);
	return err_hint(e, "use a dstack image of 0.5.2 or newer, or leave key_provider_id out");
}

static int mr_config_form(const struct app *a, const struct mr_config_input *in,
			  struct mr_config *m, struct err *e)
{
	uint8_t app_id[APP_ID_LEN];

	if (!id_unhex(in->app_id, app_id, APP_ID_LEN))
		return err_field(e, ERR_INVALID, "app_id", in->app_id, "expected 40 hex digits");
	if (is_dstack_before(in, 0, 5, 2))
		return a->provider_id ? refuse_unbound_provider(in, a, e) : 0;
	if (!a->provider_id)
		mr_config_choose_v1(in, m);
	else if (is_dstack_before(in, 0, 6, 0))
		mr_config_choose_v2(a, in, app_id, m);
	else
		mr_config_choose_v3(a, in, app_id, m);
	return 0;
}

int mr_config_choose(const struct mr_config_input *in, struct mr_config *ret, struct err *e)
{
	__attribute__((cleanup(mr_app_end))) struct app a = { 0 };
	auto_json json_t *manifest = NULL;
	struct mr_config m = { 0 };

	if (in->tdx) {
		manifest = json_read(in->manifest, strlen(in->manifest), e);
		if (!manifest || mr_app_read(manifest, &a, e) < 0 ||
		    mr_config_form(&a, in, &m, e) < 0)
			return -(int)e->code;
	}
	assert(!m.document == !m.instance_info);
	*ret = m;
	return 0;
}

void mr_config_free(struct mr_config *m)
{
	free(m->document);
	free(m->instance_info);
	m->document = m->instance_info = NULL;
}

/* ------------------------------------------------------------------ the seed */

/* The guest can write to this folder. So links are not followed, a FIFO does not block, and an
 * invalid document counts as absent. */
static json_t *read_instance_info(const char *shared_dir)
{
	auto_free char *path = xasprintf("%s/.instance_info", shared_dir),
		       *text = xmalloc(INSTANCE_INFO_MAX);
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	struct err e;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return NULL;
	n = read(fd, text, INSTANCE_INFO_MAX);
	return n > 0 ? json_read(text, (size_t)n, &e) : NULL;
}

void mr_config_seed(const char *shared_dir, const char *vm_uuid, uint8_t ret[INSTANCE_SEED_LEN])
{
	auto_free char *own = xasprintf("teepod-instance-seed:%s", vm_uuid);
	auto_json json_t *j = read_instance_info(shared_dir);
	const char *seed = json_string_value(json_object_get(j, "instance_id_seed"));
	uint8_t digest[SHA256_LEN];

	if (seed && id_unhex(seed, ret, INSTANCE_SEED_LEN))
		return;
	id_sha256(own, strlen(own), digest);
	memcpy(ret, digest, INSTANCE_SEED_LEN);
}
