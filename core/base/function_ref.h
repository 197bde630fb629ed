// A reference to a function, for parameters. It must be called while the referenced function object exists.
// std::function is not used because its copy may be allocated in every step.
#pragma once
#include <type_traits>
#include <utility>

namespace moe {

template <class Signature>
class FunctionRef;

template <class Result, class... Arguments>
class FunctionRef<Result(Arguments...)> {
 public:
  FunctionRef() = default;
  template <class Function>
  requires(!std::is_same_v<std::remove_cvref_t<Function>, FunctionRef>) FunctionRef(const Function& function)
      : function_(&function), call_([](const void* f, Arguments... arguments) -> Result {
          return (*static_cast<const Function*>(f))(std::forward<Arguments>(arguments)...);
        }) {}

  explicit operator bool() const { return call_ != nullptr; }
  Result operator()(Arguments... arguments) const { return call_(function_, std::forward<Arguments>(arguments)...); }

 private:
  const void* function_ = nullptr;
  Result (*call_)(const void*, Arguments...) = nullptr;
};

}  // namespace moe
