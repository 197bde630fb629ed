// The tensors of one of our checkpoints as a layout of files wants them: routers' matrices are divided by their
// temperature or computed from the tensors that make them. Needs no device, and reads one tensor at a time.
#pragma once
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/checkpoint/tensor_file.h"
#include "core/convert/exportable.h"
#include "core/convert/tensor_map.h"

namespace moe {

class OurTensors {
 public:
  // `checkpoint`: its folder. Throws as TensorFolder does.
  OurTensors(const std::string& checkpoint, const PlainForm& form);

  std::vector<float> read(const std::string& name) const;
  // Throws CheckpointError for tensors that the model should have and the checkpoint lacks, and for those that the
  // checkpoint has and no line accounts for, unless `approximate`.
  void check(const TensorMap& map, bool approximate) const;

 private:
  struct Folded {
    std::vector<std::string> uses;
    std::function<std::vector<float>()> values;
  };
  void fold_router(const std::string& layer, const RouterPlan& plan, const PlainModel& model);
  std::vector<float> stored(const std::string& name) const;

  std::string checkpoint_;
  TensorFolder tensors_;
  std::map<std::string, Folded> folded_;
};

}  // namespace moe
