/*
 * files.h - what the fuzz targets of whole files share: a directory in memory, images of files, and
 * how an input changes them.
 *
 * A target builds good files once, takes their images, and for each input changes the images and
 * writes them where the store looks for them. So nothing that one input did is there for the next.
 *
 * Threads: one.
 */
#ifndef TXKV_FUZZ_FILES_H
#define TXKV_FUZZ_FILES_H

#include "../support/support.h"
#include "input.h"

enum { IMAGE_PAGE = 4096 };

/* A new directory in /dev/shm, or in $TXKV_FUZZ_DIR, which is removed when the process ends. */
const char *files_dir(void);

struct image {
    char name[64];  /* its path below the store's directory; "" where there is no such file */
    uint8_t *bytes; /* malloc; room for `room` */
    size_t size, room;
    uint64_t first_lsn; /* of a log file */
    bool is_log, is_present;
};

/* The file dir/name as an image. False: there is none. */
bool image_read(struct image *image, const char *dir, const char *name);
void image_free(struct image *image);
/* The same bytes again, in the memory that `to` has already; zeroed it has none. */
void image_copy(struct image *to, const struct image *from);
/* Write it to dir/name, or remove it from there. */
void image_write(const struct image *image, const char *dir);
/* True when the file in dir is what the image says, to the byte. */
bool image_is_in(const struct image *image, const char *dir);

/*
 * One change to an image, as the input says: bytes and numbers replaced, in a page's header or a
 * node's often; a range or a page copied; the file cut or made longer. The file's size stays below
 * its room.
 */
void image_change(struct image *image, struct input *input);

/*
 * Give a log file right checksums again, from its header on, as far as its records have lengths
 * that can be: what stands behind the checksums is what is to be tested. A record whose number,
 * from 0, is `damaged_record` stays as it is.
 */
void image_mend_log(struct image *image, uint64_t store_id, uint32_t damaged_record);

#endif /* TXKV_FUZZ_FILES_H */
