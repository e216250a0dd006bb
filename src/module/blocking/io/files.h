/* Files, and so all that open() gives, and folders (S10). */
#ifndef INTERRUPTION_BLOCKING_FILES_H
#define INTERRUPTION_BLOCKING_FILES_H

#include "interpose/interpose.h"

extern interruption_family interruption_files;   /* _io.FileIO */
extern interruption_family interruption_folders; /* os.scandir, os.listdir */

#endif
