// JSON values. json_text.h parses and writes them.
//
// nlohmann's library parses and writes, in json_text.cpp alone. Its own value type is a template, which each of the
// hundred files that handle JSON would compile and optimise again: half of the time that the programs' compilation
// took. This type has the part of its interface that is used here, compiled once.
#pragma once
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <limits>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace moe {

class Json;

// A text that is not JSON, or a value that is not what its reader expects. what() says which.
class JsonError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// What a value can be read as, besides Json itself.
template <class T>
inline constexpr bool kJsonReads =
    std::is_arithmetic_v<T> && !std::is_same_v<T, char> && !std::is_same_v<T, wchar_t> && !std::is_same_v<T, char8_t>;
template <>
inline constexpr bool kJsonReads<std::string> = true;
template <class T>
inline constexpr bool kJsonReads<std::vector<T>> = kJsonReads<T>;
template <class T, size_t n>
inline constexpr bool kJsonReads<std::array<T, n>> = kJsonReads<T>;
template <class T>
concept JsonReadable = kJsonReads<T>;

// The only member of an object that stands for a string that is not UTF-8 (json_text.h).
inline constexpr const char* kJsonBytes = "base64";

// Null, a boolean, a number, a string, an array or an object. The members of an object stay in the order in which they
// were added; two objects are equal whatever their order. Numbers are integers of 64 bits or doubles; one that is not
// finite is written as null.
class Json {
 public:
  struct Member;
  enum class Type { null, boolean, integer, large_integer, real, string, array, object };  // large: of uint64 alone

  Json() noexcept {}
  Json(std::nullptr_t) noexcept {}
  template <std::integral T>  // a template, so that no pointer becomes a boolean
  Json(T value) noexcept {
    if constexpr (std::is_same_v<T, bool>) {
      type_ = Type::boolean, value_.boolean = value;
    } else if constexpr (std::is_signed_v<T>) {
      type_ = Type::integer, value_.integer = value;
    } else {
      set_unsigned(value);
    }
  }
  Json(char) = delete;
  template <std::floating_point T>
  Json(T value) noexcept : type_(Type::real), value_{.real = value} {}
  Json(const char* text);
  Json(std::string_view text);
  Json(std::string text);
  // An object if each item is an array of a string and a value, as in {{"step", 3}, {"loss", 1.5}}; otherwise an array.
  Json(std::initializer_list<Json> items);
  template <class T>
  Json(std::span<const T> values) : Json(array()) {
    for (const auto& value : values) push_back(Json(static_cast<const T&>(value)));
  }
  template <class T>
  Json(const std::vector<T>& values) : Json(std::span<const T>(values)) {}
  Json(const std::vector<bool>& values);
  template <class T, size_t n>
  Json(const std::array<T, n>& values) : Json(std::span<const T>(values)) {}
  template <class T>
  Json(const std::map<std::string, T>& members) : Json(object()) {
    for (const auto& [key, value] : members) (*this)[key] = Json(value);
  }
  Json(const Json& other);
  Json(Json&& other) noexcept;
  Json& operator=(Json other) noexcept;
  ~Json();

  static Json array();   // an empty one
  static Json object();  // an empty one

  Type type() const { return type_; }
  bool is_null() const { return type_ == Type::null; }
  bool is_boolean() const { return type_ == Type::boolean; }
  bool is_integer() const { return type_ == Type::integer || type_ == Type::large_integer; }
  bool is_unsigned() const { return is_integer() && (type_ == Type::large_integer || value_.integer >= 0); }
  bool is_number() const { return is_integer() || type_ == Type::real; }
  bool is_string() const { return type_ == Type::string; }
  bool is_array() const { return type_ == Type::array; }
  bool is_object() const { return type_ == Type::object; }

  // Throws JsonError for a value of another type and for a number that T cannot hold. An integer is read from a number
  // without a fraction, a floating-point number from any.
  template <class T>
  T get() const {
    if constexpr (std::is_same_v<T, Json>) {
      return *this;
    } else {
      static_assert(kJsonReads<T>, "JSON is not read as this type");
      T value;
      read(value);
      return value;
    }
  }
  template <JsonReadable T>
  operator T() const {
    return get<T>();
  }

  // Arrays. An index behind the end is a JsonError. A null becomes an array when something is added.
  template <std::integral T>
  const Json& at(T index) const {
    return element(static_cast<size_t>(index));
  }
  template <std::integral T>
  Json& at(T index) {
    return element(static_cast<size_t>(index));
  }
  template <std::integral T>
  const Json& operator[](T index) const {
    return element(static_cast<size_t>(index));
  }
  template <std::integral T>
  Json& operator[](T index) {
    return element(static_cast<size_t>(index));
  }
  const Json& back() const;
  Json& back();
  void push_back(Json value);
  // The elements of an array; of a null, none. A JsonError for others.
  const Json* begin() const;
  const Json* end() const;
  Json* begin();
  Json* end();

  // Objects. An absent member is a JsonError, but operator[] on a value that may change adds it as null, and a null
  // becomes an object then.
  const Json& at(std::string_view key) const;
  Json& at(std::string_view key);
  const Json& at(const char* key) const { return at(std::string_view(key)); }
  Json& at(const char* key) { return at(std::string_view(key)); }
  const Json& operator[](std::string_view key) const { return at(key); }
  Json& operator[](std::string_view key);
  const Json& operator[](const char* key) const { return at(std::string_view(key)); }
  Json& operator[](const char* key) { return (*this)[std::string_view(key)]; }
  // Null if there is no such member, or if this is no object.
  const Json* find(std::string_view key) const;
  Json* find(std::string_view key);
  bool contains(std::string_view key) const { return find(key) != nullptr; }
  // The member, or `otherwise` if it is absent. Throws JsonError if this is no object.
  template <class T>
  T value(std::string_view key, const T& otherwise) const {
    const Json* member = find_in_object(key);
    return member ? member->get<T>() : otherwise;
  }
  std::string value(std::string_view key, const char* otherwise) const;
  bool erase(std::string_view key);  // false if there was no such member
  void update(const Json& other);    // adds the other object's members and replaces those of the same name
  // The members of an object, as {key, value}; of a null, none. A JsonError for others.
  std::span<const Member> items() const;
  std::span<Member> items();

  size_t size() const;  // of an array or an object; 0 for null, 1 for others
  bool empty() const { return size() == 0; }

  friend bool operator==(const Json& a, const Json& b) { return a.equals(b); }
  template <JsonReadable T>
  friend bool operator==(const Json& a, const T& b) {
    return a.equals(Json(b));
  }
  friend std::ostream& operator<<(std::ostream& out, const Json& json);  // json_text_replacing()

 private:
  struct Object;
  void set_unsigned(uint64_t value) noexcept;

  template <std::signed_integral T>
  void read(T& value) const {
    value = static_cast<T>(read_signed(std::numeric_limits<T>::min(), std::numeric_limits<T>::max()));
  }
  template <std::unsigned_integral T>
  void read(T& value) const {
    value = static_cast<T>(read_unsigned(std::numeric_limits<T>::max()));
  }
  void read(bool& value) const;
  void read(double& value) const;
  void read(float& value) const;
  void read(std::string& value) const;
  template <class T>
  void read(std::vector<T>& values) const {
    require(Type::array);
    values.reserve(size());
    for (const Json& element : *this) values.push_back(element.get<T>());
  }
  template <class T, size_t n>
  void read(std::array<T, n>& values) const {
    require_elements(n);
    for (size_t i = 0; i < n; ++i) values[i] = at(i).get<T>();
  }
  int64_t read_signed(int64_t min, int64_t max) const;
  uint64_t read_unsigned(uint64_t max) const;
  void require(Type type) const;
  void require_elements(size_t count) const;
  const Json& element(size_t index) const;
  Json& element(size_t index);
  const Json* find_in_object(std::string_view key) const;
  bool equals(const Json& other) const;

  Type type_ = Type::null;
  union Value {
    int64_t integer = 0;  // the first, so that a new value is 0
    uint64_t large_integer;
    bool boolean;
    double real;
    std::string* string;
    std::vector<Json>* array;
    Object* object;
  } value_;
};

struct Json::Member {
  std::string key;
  Json value;
};

}  // namespace moe
