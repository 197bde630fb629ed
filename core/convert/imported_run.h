// Writes a model that was trained elsewhere as a run of ours at step 0, without an optimizer: a folder that moe-eval,
// moe-inspect and init.from read.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/config/train_config.h"
#include "core/convert/plain_model.h"
#include "core/convert/tensor_map.h"

namespace moe {

// data.path of such a run, which knows no data: programs ask for it by --data, fine-tuning by data.path.
inline constexpr const char* kNoData = "(none: name the data by --data or data.path)";

struct ImportedModel {
  PlainModel model;
  std::vector<OurTensor> tensors;
  std::function<std::vector<float>(const OurTensor&)> read;  // values of one of these
  Json tokenizer;                                            // Tokenizer::to_json()
  int64_t tokens = 0;                                        // of the tokenizer; the model may have more rows
  int64_t sequence = 0;
  std::string origin;  // for the manifest: where it came from
};

// data.sequence of such a run: the requested one, or the model's length, but at most 2048 tokens. With learned
// positions it is their number.
int64_t imported_sequence(int64_t requested, const PlainModel& model);

// A tensor that a layout has, under its name in the file.
struct ExpectedTensor {
  std::string name;
  Dims dims;
  bool may_be_absent = false;
};
// Throws CheckpointError unless the file has the expected tensors and no others. `names`: those of the file, without
// the ones that follow from others; `dims`: of a tensor, which throws for one that is absent.
void check_tensors(const std::string& file, const std::vector<ExpectedTensor>& expected,
                   const std::vector<std::string>& names, const std::function<const Dims&(const std::string&)>& dims);

// The configuration of a run with such a model. `folder` is the run's. Throws UsageError for a model that ours cannot
// be.
TrainConfig imported_config(const ImportedModel& imported, const std::string& folder);

// Writes the run into `folder`, which exists and will be renamed to `target`. Holds one tensor at a time. Throws
// CheckpointError.
void write_imported_run(const ImportedModel& imported, const std::string& folder, const std::string& target);

}  // namespace moe
