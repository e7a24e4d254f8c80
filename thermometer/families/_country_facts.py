"""Countries of four parts of the world, their capitals and another city of each.

Countries with several capitals, with a capital about to change or one named like the country are
left out. Knows nothing about questions.
"""

from thermometer.families._family import table

COUNTRIES = {
    "Europe": table("""
France, Paris, Lyon; Germany, Berlin, Munich; Italy, Rome, Milan; Spain, Madrid, Seville
Portugal, Lisbon, Porto; Austria, Vienna, Salzburg; Greece, Athens, Thessaloniki
Ireland, Dublin, Cork; Finland, Helsinki, Tampere; Estonia, Tallinn, Tartu
Latvia, Riga, Daugavpils; Lithuania, Vilnius, Kaunas; Slovakia, Bratislava, Kosice
Slovenia, Ljubljana, Maribor; Croatia, Zagreb, Split; Belgium, Brussels, Antwerp
Norway, Oslo, Bergen; Denmark, Copenhagen, Aarhus; Sweden, Stockholm, Gothenburg
Iceland, Reykjavik, Akureyri; Poland, Warsaw, Krakow; Hungary, Budapest, Debrecen
Romania, Bucharest, Cluj; Ukraine, Kyiv, Odesa; Belarus, Minsk, Brest; Russia, Moscow, Vladivostok
Serbia, Belgrade, Novi Sad; Albania, Tirana, Durres; Switzerland, Bern, Zurich
Bulgaria, Sofia, Plovdiv; Czech Republic, Prague, Brno; Moldova, Chisinau, Balti
Netherlands, Amsterdam, Rotterdam; United Kingdom, London, Manchester
Montenegro, Podgorica, Niksic; Bosnia, Sarajevo, Mostar; North Macedonia, Skopje, Bitola
"""),
    "Asia": table("""
Turkey, Ankara, Istanbul; Georgia, Tbilisi, Batumi; Armenia, Yerevan, Gyumri
Azerbaijan, Baku, Ganja; Kazakhstan, Astana, Almaty; Uzbekistan, Tashkent, Samarkand
Mongolia, Ulaanbaatar, Erdenet; China, Beijing, Shanghai; Japan, Tokyo, Osaka
South Korea, Seoul, Busan; North Korea, Pyongyang, Hamhung; Vietnam, Hanoi, Da Nang
Thailand, Bangkok, Chiang Mai; Cambodia, Phnom Penh, Battambang; Laos, Vientiane, Pakse
Myanmar, Naypyidaw, Yangon; Malaysia, Kuala Lumpur, Penang; Philippines, Manila, Davao
India, New Delhi, Mumbai; Pakistan, Islamabad, Karachi; Nepal, Kathmandu, Pokhara
Bangladesh, Dhaka, Chittagong; Afghanistan, Kabul, Kandahar; Iran, Tehran, Isfahan
Iraq, Baghdad, Basra; Syria, Damascus, Aleppo; Jordan, Amman, Aqaba; Lebanon, Beirut, Tripoli
Saudi Arabia, Riyadh, Jeddah; Oman, Muscat, Salalah; Qatar, Doha, Al Khor; Bhutan, Thimphu, Paro
Tajikistan, Dushanbe, Khujand; Kyrgyzstan, Bishkek, Osh; Turkmenistan, Ashgabat, Turkmenabat
Bahrain, Manama, Muharraq
"""),
    "Africa": table("""
Egypt, Cairo, Alexandria; Libya, Tripoli, Benghazi; Tunisia, Tunis, Sfax; Algeria, Algiers, Oran
Morocco, Rabat, Casablanca; Sudan, Khartoum, Omdurman; Ethiopia, Addis Ababa, Mekelle
Somalia, Mogadishu, Hargeisa; Kenya, Nairobi, Mombasa; Uganda, Kampala, Entebbe
Tanzania, Dodoma, Arusha; Rwanda, Kigali, Butare; Madagascar, Antananarivo, Toamasina
Mozambique, Maputo, Beira; Angola, Luanda, Huambo; Zambia, Lusaka, Ndola
Malawi, Lilongwe, Blantyre; Botswana, Gaborone, Francistown; Namibia, Windhoek, Walvis Bay
Nigeria, Abuja, Lagos; Ghana, Accra, Kumasi; Senegal, Dakar, Thies; Mali, Bamako, Timbuktu
Gambia, Banjul, Serekunda; Cameroon, Yaounde, Douala; Niger, Niamey, Zinder; Togo, Lome, Sokode
Gabon, Libreville, Port-Gentil; Zimbabwe, Harare, Bulawayo; Sierra Leone, Freetown, Makeni
Liberia, Monrovia, Buchanan; Guinea, Conakry, Kankan; Mauritania, Nouakchott, Nouadhibou
Eritrea, Asmara, Massawa
"""),
    "Americas": table("""
Canada, Ottawa, Toronto; United States, Washington, Chicago; Mexico, Mexico City, Monterrey
Guatemala, Guatemala City, Antigua; Honduras, Tegucigalpa, San Pedro Sula
Nicaragua, Managua, Granada; Costa Rica, San Jose, Limon; Cuba, Havana, Santiago de Cuba
Jamaica, Kingston, Montego Bay; Haiti, Port-au-Prince, Cap-Haitien
Dominican Republic, Santo Domingo, Punta Cana; Colombia, Bogota, Medellin
Venezuela, Caracas, Maracaibo; Ecuador, Quito, Guayaquil; Peru, Lima, Cusco
Chile, Santiago, Valparaiso; Argentina, Buenos Aires, Cordoba; Uruguay, Montevideo, Salto
Paraguay, Asuncion, Encarnacion; Brazil, Brasilia, Rio de Janeiro; Suriname, Paramaribo, Lelydorp
El Salvador, San Salvador, Santa Ana; Panama, Panama City, Colon; Belize, Belmopan, San Ignacio
Bahamas, Nassau, Freeport; Barbados, Bridgetown, Speightstown; Guyana, Georgetown, Linden
Trinidad and Tobago, Port of Spain, San Fernando
"""),
}
_WITH_ARTICLE = {
    "United States",
    "Philippines",
    "Gambia",
    "Dominican Republic",
    "United Kingdom",
    "Netherlands",
    "Czech Republic",
    "Bahamas",
}


def the(country: str) -> str:
    """The name as it stands in a sentence."""
    return f"the {country}" if country in _WITH_ARTICLE else country
