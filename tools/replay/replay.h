/* SPDX-License-Identifier: PostgreSQL */
/* `pqpool replay`: how pools of other sizes would have done. */
#ifndef PQPOOL_TOOLS_REPLAY_REPLAY_H
#define PQPOOL_TOOLS_REPLAY_REPLAY_H

int replay_main(int argc, char **argv);

#endif
