#include "core/convert/export_source.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/lifecycle/expert_lifecycle.h"
#include "core/record/run_folder.h"
#include "core/tasks/task.h"

namespace moe {

ExportSource open_export_source(const std::string& checkpoint) {
  ExportSource source;
  source.checkpoint = checkpoint;
  source.state = load_run_state(checkpoint);
  source.config = with_saved_experts(load_run_config(checkpoint), source.state.experts, checkpoint);
  const TaskKind& task = tasks().at(source.config.task);
  source.description = read_description(source.config.task, checkpoint);
  const SampleShape sample = task.shape(source.config, source.description, description_file(task, checkpoint));
  const auto update = static_cast<uint64_t>(std::max<int64_t>(source.state.step - 1, 0));
  source.form = plain_form(source.config, sample.vocab, source.state.length, update);
  return source;
}

void require_exact(const PlainForm& form, const std::string& advice) {
  if (form.refusals.empty()) return;
  raise<UsageError>("other programs do not compute the same as this model: {}{}", to_words(form.refusals),
                    advice.empty() ? "" : ". " + advice);
}

void require_nearest(const PlainForm& form) {
  for (const Refusal& r : form.refusals) {
    if (!r.has_nearest) raise<UsageError>("{}: {}; there is nothing near to it", r.key, r.reason);
  }
}

}  // namespace moe
