// The tensors of a checkpoint: parameters and the states of the optimizer, by name, in files of which every
// expert-parallel rank of the first data-parallel copy writes one.
#pragma once
#include <string>
#include <vector>

#include "core/optim/optimizer.h"

namespace moe {

// The names of an optimizer's states, in their order.
std::vector<std::string> state_names(const Optimizer& optimizer);

// The path of a file of tensors, of which `count` ranks write one each.
std::string checkpoint_tensor_file(const std::string& folder, const std::string& name, int index, int count);

// Called by all ranks. Writes this rank's part of the model and the optimizer to an unfinished checkpoint's folder.
// With a divided optimizer the ranks take part together until the end, even if one of them cannot write. Throws
// CheckpointError on the ranks that cannot.
void write_tensors(const std::string& folder, const ParameterStore& parameters, const Optimizer& optimizer,
                   const ProcessGroups& groups);

// Reads the parameters and, if `optimizer` is not null, its states. Throws DamagedCheckpoint for content that is not
// what was written; CheckpointError, when the checkpoint was written by an optimizer with other states; and
// DivergedError for a trained parameter that is not finite.
void load_tensors(const std::string& path, ParameterStore& parameters, const Optimizer* optimizer);

}  // namespace moe
