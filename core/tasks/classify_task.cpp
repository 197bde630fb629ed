#include "core/tasks/classify_task.h"

#include "core/base/json.h"
#include "core/tasks/image_task.h"
#include "core/tasks/labelled_text_task.h"
#include "core/tasks/sound_task.h"
#include "data/labelled_format.h"

namespace moe {

const Table<SampleKind>& sample_kinds() {
  static const Table<SampleKind> table{"kind of samples",
                                       {{"images", "image", image_shape, open_image_task},
                                        {"sounds", "sound", sound_shape, open_sound_task},
                                        {"texts", "text", labelled_text_shape, open_labelled_text_task}}};
  return table;
}

const SampleKind& described_kind(const Json& description, const std::string& origin) {
  const Json* kind = description.find("kind");
  const SampleKind* found = kind && kind->is_string() ? sample_kinds().find(kind->get<std::string>()) : nullptr;
  if (!found)
    raise<CheckpointError>("{} has an unknown kind of samples; expected one of: {}", origin,
                           join(sample_kinds().names(), ", "));
  return *found;
}

SampleShape classify_shape(const TrainConfig& config, const Json& samples, const std::string& origin) {
  return described_kind(samples, origin).shape(config, samples, origin);
}

std::unique_ptr<Task> open_classify_task(const TrainConfig& config, const Json* samples, const std::string& origin) {
  const LabelledFormat& format = labelled_format(config.data);
  const SampleKind& kind = sample_kinds().at(format.kind);
  if (samples && &described_kind(*samples, origin) != &kind) {
    raise<DataError>("{} holds {}, but the model was trained on {}", config.data.location(), kind.name,
                     described_kind(*samples, origin).name);
  }
  return kind.open(config, format.name, samples, origin);
}

}  // namespace moe
