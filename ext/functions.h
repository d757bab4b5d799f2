/*
 * functions.h - the SQL functions.
 *
 *   txkv_checkpoint([table or directory])  move what is committed from the log into LMDB
 *   txkv_recover([table or directory [, 'salvage']])
 *                                          what recovery did when the store was opened, and a
 *                                          check of the whole log as it is now
 *   txkv_backup(table or directory, target)
 *                                          a copy of the store in a new directory
 *   txkv_archive(table or directory)      bring the store's archive up to date
 *   txkv_restore(backup, target [, 'until lsn=N'|'until time=T'] [, 'archive=DIR'])
 *                                          a store as it was at a point
 *   txkv_version()
 *
 * The first two return a JSON object; without an argument they treat every store of the connection,
 * and return an array when there are several. A directory that is not open is opened for the call,
 * which runs recovery, and closed again. None can be called from a view or a trigger
 * (SQLITE_DIRECTONLY): they have effects.
 */
#ifndef TX_FUNCTIONS_H
#define TX_FUNCTIONS_H

#include "connection.h"

int tx_functions_register(struct tx_connection *connection);

#endif /* TX_FUNCTIONS_H */
