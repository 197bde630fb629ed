#include "core/nearest/subject.h"

#include <vector>

#include "core/base/json_text.h"
#include "core/base/log.h"
#include "core/checkpoint/checkpoint.h"
#include "core/record/run_folder.h"
#include "core/retrieval/key_store.h"
#include "core/step/cpu_setup.h"
#include "data/content_hash.h"

namespace moe {

Subject load_subject(const RetrievalOptions& options, MpiSession& session) {
  setup_cpu(options.threads, false, session.local());
  const DeviceChoice device =
      choose_device_for(options.run, options.which, options.device, options.precision, session.local());
  std::vector<std::string> settings;
  if (options.evaluation.context > 0) {
    settings =
        settings_for_context(load_run_config(find_checkpoint(options.run, options.which)), options.evaluation.context);
  }
  Subject subject{load_run(options.run, options.which, session.world(), options.expert_parallel,
                           options.evaluation.sequences, device, settings),
                  {},
                  {},
                  {},
                  session.world()->rank() == 0};
  if (!models().at(subject.run.config.task).reads_on ||
      !tasks().at(subject.run.config.task).tokenizer(subject.run.samples))
    raise<UsageError>("{} is of a run with task: {}; retrieval needs a language model", subject.run.checkpoint,
                      subject.run.config.task);
  subject.task = subject.run.open_task(options.data);
  subject.model = model_hash(subject.run.checkpoint);
  subject.vocabulary = hash_of_text(json_text(subject.run.samples));
  if (subject.run.state->model->causality() > Causality::causal)
    log::warn("not causal: a token's experts depend on later tokens. These results do not measure prediction");
  return subject;
}

}  // namespace moe
