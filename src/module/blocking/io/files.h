/* Files, and so all that open() gives, and folders (S10). */
#ifndef MOD_BLOCKING_FILES_H
#define MOD_BLOCKING_FILES_H

#include "interpose/interpose.h"

extern mod_family mod_files;   /* _io.FileIO */
extern mod_family mod_folders; /* os.scandir, os.listdir */

#endif
