/* SPDX-License-Identifier: Apache-2.0
 * images.c - rows of OS images.
 */
#include "base/strings.h"
#include "db/images.h"
#include "db/sql.h"

#define IMAGE_COLUMNS                                                                   \
	"id, name, family, version, os_image_hash, v0, v1, v2, v3, nv, is_dev, bytes, " \
	"created_ms, serial_progress"

static void read_image(struct db *db, sqlite3_stmt *st, void *row)
{
	struct image_row *ret = row;

	*ret = (struct image_row){ .id = sqlite3_column_int64(st, 0) };
	sql_text(st, 1, ret->name, sizeof(ret->name));
	sql_text(st, 2, ret->family, sizeof(ret->family));
	sql_text(st, 3, ret->version, sizeof(ret->version));
	sql_text(st, 4, ret->os_image_hash, sizeof(ret->os_image_hash));
	for (int i = 0; i < 4; i++)
		ret->v[i] = (unsigned)sql_range(db, st, 5 + i, 0, INT32_MAX);
	ret->nv = (unsigned)sql_range(db, st, 9, 3, 4);
	ret->is_dev = sqlite3_column_int(st, 10);
	ret->bytes = sqlite3_column_int64(st, 11);
	ret->created_ms = sqlite3_column_int64(st, 12);
	ret->serial_progress = sqlite3_column_int(st, 13);
}

int images_add(struct db *db, const struct image_row *row, int64_t *ret_id, struct err *e)
{
	int r = sql_run(
		db, e,
		"INSERT INTO images (name, family, version, v0, v1, v2, v3, nv, is_dev, "
		"os_image_hash, bytes,"
		" created_ms, serial_progress) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		"sssddddddsiid", row->name, row->family, row->version, (int)row->v[0],
		(int)row->v[1], (int)row->v[2], (int)row->v[3], (int)row->nv, (int)row->is_dev,
		row->os_image_hash, row->bytes, row->created_ms, (int)row->serial_progress);

	if (r < 0)
		return r;
	*ret_id = sqlite3_last_insert_rowid(db->conn);
	return 0;
}

int images_remove(struct db *db, int64_t id, struct err *e)
{
	return sql_exec(db, e, "DELETE FROM images WHERE id = ?", "i", id);
}

static void read_image_record(struct db *db, sqlite3_stmt *st, void *row)
{
	(void)db;
	*(char **)row = sql_text_dup(st, 0);
}

int images_files(struct db *db, int64_t id, char **ret, struct err *e)
{
	char *files = NULL;
	int r = sql_row(db, sql_query(db, e, "SELECT files FROM images WHERE id = ?", "i", id),
			read_image_record, &files, e);

	if (!r)
		*ret = files ? files : xstrdup("");
	return r;
}

int images_set_files(struct db *db, int64_t id, const char *files, struct err *e)
{
	return sql_exec(db, e, "UPDATE images SET files = ? WHERE id = ?", "si", files, id);
}

int images_used(struct db *db, int64_t id, struct err *e)
{
	int64_t n;
	int r = sql_int(db, e, 0, &n,
			"SELECT (SELECT count(*) FROM cvms WHERE image = ?1) + (SELECT count(*) "
			"FROM changes WHERE image = ?1)",
			"i", id);

	return r ? r : (int)n;
}

int images_by_name(struct db *db, const char *name, struct image_row *ret, struct err *e)
{
	return sql_row(db,
		       sql_query(db, e, "SELECT " IMAGE_COLUMNS " FROM images i WHERE name = ?",
				 "s", name),
		       read_image, ret, e);
}

int images_newest(struct db *db, const char *family, int dev, struct image_row *ret, struct err *e)
{
	return sql_row(db,
		       sql_query(db, e,
				 "SELECT " IMAGE_COLUMNS
				 " FROM images i WHERE (?1 = '' OR family = ?1)"
				 " AND (?2 < 0 OR is_dev = ?2) ORDER BY v0 DESC, v1 DESC, v2 "
				 "DESC, v3 DESC, id DESC LIMIT 1",
				 "sd", family, dev),
		       read_image, ret, e);
}

int images_list(struct db *db, int dev, int64_t offset, int64_t limit, struct image_row **ret,
		size_t *n, struct err *e)
{
	sqlite3_stmt *st;
	int64_t total;
	int r = sql_int(db, e, 0, &total, "SELECT count(*) FROM images WHERE ?1 < 0 OR is_dev = ?1",
			"d", dev);

	if (r)
		return r;
	st = sql_query(db, e,
		       "SELECT " IMAGE_COLUMNS " FROM images i WHERE ?1 < 0 OR is_dev = ?1"
		       " ORDER BY family, v0 DESC, v1 DESC, v2 DESC, v3 DESC LIMIT ?2 OFFSET ?3",
		       "dii", dev, sql_page(limit, offset, total), offset);
	r = sql_rows(db, st, read_image, ret, n, e);
	return r ? r : (int)total;
}
