#include "core/model/model.h"

#include "core/model/classifier.h"
#include "core/model/language_model.h"

namespace moe {

template <class M>
static std::unique_ptr<Model> make(ParameterStore& parameters, const ModelSetup& setup) {
  return std::make_unique<M>(parameters, setup);
}

const Table<ModelKind>& models() {
  static const Table<ModelKind> table{"task",
                                      {{"language_model", make<LanguageModel>}, {"classify", make<Classifier>}}};
  return table;
}

}  // namespace moe
