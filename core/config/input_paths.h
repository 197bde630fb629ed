// Where the files and folders are that a configuration names as input.
#pragma once
#include <string>

#include "core/config/train_config.h"

namespace moe {

// Whether a path names something, as a file, a folder or a pattern like "data/part_*.bin".
bool names_something(const std::string& path);

// Whether a configuration file is the copy that a run has stored in its folder or in a checkpoint.
bool is_runs_copy(const std::string& file);

// Finds what data.path, data.mixture.with, data.retrieval.neighbours, data.tokenizer, data.labelled.vocabulary,
// data.labelled.tokenizer, init.from and curriculum.from name: first from the current folder, then from the folder of
// the configuration file that sets the key, unless that file is a run's copy of its configuration. Sets
// data.path_absolute and data.tokenizer_absolute; data.mixture.with gets absolute paths, the other keys where the
// current folder does not have what they name. Throws DataError where data.path names nothing; what else is not there
// is left to its reader.
void locate_inputs(TrainConfig& config);

// For the configuration of a run that is read again, perhaps in another folder or on another machine: leaves out an
// absolute path where nothing is any more, if the path as it was given names something from the current folder.
void locate_again(DataConfig& data);

}  // namespace moe
