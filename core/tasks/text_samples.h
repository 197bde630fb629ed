// The samples of a text: windows of its training split.
#pragma once
#include <optional>

#include "core/config/train_config.h"
#include "data/document_windows.h"
#include "data/sampler.h"

namespace moe {

class TextSamples {
 public:
  // `split` must outlive this object. Throws DataError when the split is too small, or lacks the index of documents
  // that data.documents needs.
  TextSamples(const Split& split, const TrainConfig& config);

  const Split& split() const { return split_; }
  int64_t size() const { return parts_ ? parts_->num_windows() : windows_->num_windows(); }
  Window window(const SampleVisit& visit) const {
    if (parts_) return parts_->window(visit.sample);
    return {windows_->window_start(visit.epoch, visit.sample), length_};
  }
  // The number of predictions of a window.
  int64_t predictions(const Window& window) const {
    if (predicts_all_) return window.tokens;
    return count_predictions(split_, window.start + 1, window.tokens, mode_);
  }
  // The average number of predictions of a sample.
  double predictions_per_sample() const { return predictions_per_sample_; }

 private:
  const Split& split_;
  DocumentMode mode_;
  int64_t length_;
  std::optional<Sampler> windows_;        // none with parts_
  std::optional<DocumentWindows> parts_;  // with documents: fit
  bool predicts_all_;                     // every target of a window is a prediction
  double predictions_per_sample_;
};

}  // namespace moe
