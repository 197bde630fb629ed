#include "core/base/json.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <unordered_map>
#include <utility>

#include "core/base/base64.h"
#include "core/base/error.h"
#include "core/base/json_text.h"

namespace moe {

// Objects of many members, such as vocabularies, have an index by key; for few members a search is faster.
struct Json::Object {
  static constexpr size_t kFew = 16;

  std::vector<Member> members;
  std::unordered_map<std::string, size_t> index;  // empty while there are at most kFew

  size_t place(std::string_view key) const {
    if (!index.empty()) {
      const auto found = index.find(std::string(key));
      return found == index.end() ? members.size() : found->second;
    }
    size_t i = 0;
    while (i < members.size() && members[i].key != key) ++i;
    return i;
  }
  Json& add(std::string_view key) {
    members.push_back({std::string(key), Json()});
    if (!index.empty()) {
      index.emplace(key, members.size() - 1);
    } else if (members.size() > kFew) {
      make_index();
    }
    return members.back().value;
  }
  void erase(size_t place) {
    members.erase(members.begin() + static_cast<std::ptrdiff_t>(place));
    index.clear();
    if (members.size() > kFew) make_index();
  }

 private:
  void make_index() {
    for (size_t i = 0; i < members.size(); ++i) index.emplace(members[i].key, i);
  }
};

static constexpr const char* kTypeNames[] = {"null",     "a boolean", "an integer", "an integer",
                                             "a number", "a string",  "an array",   "an object"};

static const char* name_of(Json::Type type) {
  return kTypeNames[static_cast<size_t>(type)];
}

[[noreturn]] static void refuse(const char* expected, Json::Type found) {
  throw JsonError(fmt::format("expected {}, found {}", expected, name_of(found)));
}

// ---- making and copying ---------------------------------------------------------------------------------------------

void Json::set_unsigned(uint64_t value) noexcept {
  if (value <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    type_ = Type::integer;
    value_.integer = static_cast<int64_t>(value);
  } else {
    type_ = Type::large_integer;
    value_.large_integer = value;
  }
}

Json::Json(const char* text) : Json(std::string(text)) {}
Json::Json(std::string_view text) : Json(std::string(text)) {}
Json::Json(std::string text) : type_(Type::string), value_{.string = new std::string(std::move(text))} {}

Json::Json(std::initializer_list<Json> items) {
  const bool members = std::all_of(items.begin(), items.end(), [](const Json& item) {
    return item.is_array() && item.size() == 2 && item.element(0).is_string();
  });
  if (members) {
    *this = object();
    for (const Json& item : items) (*this)[*item.element(0).value_.string] = item.element(1);
  } else {
    *this = array();
    value_.array->assign(items.begin(), items.end());
  }
}

Json::Json(const std::vector<bool>& values) : Json(array()) {
  for (const bool value : values) value_.array->emplace_back(value);
}

Json::Json(const Json& other) : type_(other.type_), value_(other.value_) {
  switch (type_) {
    case Type::string:
      value_.string = new std::string(*other.value_.string);
      break;
    case Type::array:
      value_.array = new std::vector<Json>(*other.value_.array);
      break;
    case Type::object:
      value_.object = new Object(*other.value_.object);
      break;
    default:
      break;
  }
}

Json::Json(Json&& other) noexcept {
  std::swap(type_, other.type_);
  std::swap(value_, other.value_);
}

Json& Json::operator=(Json other) noexcept {
  std::swap(type_, other.type_);
  std::swap(value_, other.value_);
  return *this;
}

Json::~Json() {
  switch (type_) {
    case Type::string:
      delete value_.string;
      break;
    case Type::array:
      delete value_.array;
      break;
    case Type::object:
      delete value_.object;
      break;
    default:
      break;
  }
}

Json Json::array() {
  Json json;
  json.value_.array = new std::vector<Json>();
  json.type_ = Type::array;
  return json;
}

Json Json::object() {
  Json json;
  json.value_.object = new Object();
  json.type_ = Type::object;
  return json;
}

// ---- reading --------------------------------------------------------------------------------------------------------

void Json::require(Type type) const {
  if (type_ != type) refuse(name_of(type), type_);
}

void Json::require_elements(size_t count) const {
  require(Type::array);
  if (value_.array->size() != count)
    throw JsonError(fmt::format("expected {} elements, found {}", count, value_.array->size()));
}

void Json::read(bool& value) const {
  require(Type::boolean);
  value = value_.boolean;
}

void Json::read(double& value) const {
  switch (type_) {
    case Type::integer:
      value = static_cast<double>(value_.integer);
      break;
    case Type::large_integer:
      value = static_cast<double>(value_.large_integer);
      break;
    case Type::real:
      value = value_.real;
      break;
    default:
      refuse("a number", type_);
  }
}

void Json::read(float& value) const {
  value = static_cast<float>(get<double>());
}

void Json::read(std::string& value) const {
  if (is_object() && size() == 1 && items()[0].key == kJsonBytes) {
    try {
      value = from_base64(items()[0].value.get<std::string>());
    } catch (const DataError& error) {
      throw JsonError(error.what());
    }
    return;
  }
  require(Type::string);
  value = *value_.string;
}

int64_t Json::read_signed(int64_t min, int64_t max) const {
  int64_t value = value_.integer;
  if (type_ == Type::real && value_.real == std::trunc(value_.real) && std::abs(value_.real) < 0x1p63) {
    value = static_cast<int64_t>(value_.real);
  } else if (type_ == Type::real || type_ == Type::large_integer) {
    throw JsonError(fmt::format("expected an integer from {} to {}, found {}", min, max, json_text(*this)));
  } else if (type_ != Type::integer) {
    refuse("an integer", type_);
  }
  if (value < min || value > max) {
    throw JsonError(fmt::format("expected an integer from {} to {}, found {}", min, max, value));
  }
  return value;
}

uint64_t Json::read_unsigned(uint64_t max) const {
  if (type_ == Type::large_integer && value_.large_integer <= max) return value_.large_integer;
  const auto most = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  return static_cast<uint64_t>(read_signed(0, static_cast<int64_t>(std::min(max, most))));
}

// ---- arrays ---------------------------------------------------------------------------------------------------------

const Json& Json::element(size_t index) const {
  require(Type::array);
  if (index >= value_.array->size()) {
    throw JsonError(fmt::format("element {} is absent: the array has {}", index, value_.array->size()));
  }
  return (*value_.array)[index];
}
Json& Json::element(size_t index) {
  return const_cast<Json&>(std::as_const(*this).element(index));
}

const Json& Json::back() const {
  require(Type::array);
  if (value_.array->empty()) throw JsonError("the array is empty");
  return value_.array->back();
}
Json& Json::back() {
  return const_cast<Json&>(std::as_const(*this).back());
}

void Json::push_back(Json value) {
  if (is_null()) *this = array();
  require(Type::array);
  value_.array->push_back(std::move(value));
}

const Json* Json::begin() const {
  if (is_null()) return nullptr;
  require(Type::array);
  return value_.array->data();
}
const Json* Json::end() const {
  return begin() + (is_null() ? 0 : value_.array->size());
}
Json* Json::begin() {
  return const_cast<Json*>(std::as_const(*this).begin());
}
Json* Json::end() {
  return const_cast<Json*>(std::as_const(*this).end());
}

// ---- objects --------------------------------------------------------------------------------------------------------

const Json* Json::find_in_object(std::string_view key) const {
  require(Type::object);
  const size_t place = value_.object->place(key);
  return place < value_.object->members.size() ? &value_.object->members[place].value : nullptr;
}

const Json* Json::find(std::string_view key) const {
  return is_object() ? find_in_object(key) : nullptr;
}
Json* Json::find(std::string_view key) {
  return const_cast<Json*>(std::as_const(*this).find(key));
}

const Json& Json::at(std::string_view key) const {
  const Json* member = find_in_object(key);
  if (!member) throw JsonError(fmt::format("'{}' is absent", key));
  return *member;
}
Json& Json::at(std::string_view key) {
  return const_cast<Json&>(std::as_const(*this).at(key));
}

Json& Json::operator[](std::string_view key) {
  if (is_null()) *this = object();
  if (Json* member = const_cast<Json*>(find_in_object(key))) return *member;
  return value_.object->add(key);
}

std::string Json::value(std::string_view key, const char* otherwise) const {
  return value(key, std::string(otherwise));
}

bool Json::erase(std::string_view key) {
  require(Type::object);
  const size_t place = value_.object->place(key);
  if (place == value_.object->members.size()) return false;
  value_.object->erase(place);
  return true;
}

void Json::update(const Json& other) {
  for (const auto& [key, value] : other.items()) (*this)[key] = value;
}

std::span<const Json::Member> Json::items() const {
  if (is_null()) return {};
  require(Type::object);
  return value_.object->members;
}
std::span<Json::Member> Json::items() {
  if (is_null()) return {};
  require(Type::object);
  return value_.object->members;
}

size_t Json::size() const {
  switch (type_) {
    case Type::null:
      return 0;
    case Type::array:
      return value_.array->size();
    case Type::object:
      return value_.object->members.size();
    default:
      return 1;
  }
}

bool Json::equals(const Json& other) const {
  if (is_number() && other.is_number() && type_ != other.type_) return get<double>() == other.get<double>();
  if (type_ != other.type_) return false;
  switch (type_) {
    case Type::null:
      return true;
    case Type::boolean:
      return value_.boolean == other.value_.boolean;
    case Type::integer:
      return value_.integer == other.value_.integer;
    case Type::large_integer:
      return value_.large_integer == other.value_.large_integer;
    case Type::real:
      return value_.real == other.value_.real;
    case Type::string:
      return *value_.string == *other.value_.string;
    case Type::array:
      return *value_.array == *other.value_.array;
    case Type::object:
      break;
  }
  return size() == other.size() && std::all_of(items().begin(), items().end(), [&](const Member& member) {
           const Json* theirs = other.find(member.key);
           return theirs && member.value == *theirs;
         });
}

}  // namespace moe
