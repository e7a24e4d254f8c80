"""Facts about countries, one row each. Knows nothing about questions.

Columns: country; capital; another large city; continent; currency; languages, the most spoken
official one first, then the others that are official or widely used (never offered as wrong).
An empty continent means that the country lies on two, an empty currency or language that its name
is too like another's or disputed. Countries with several capitals are left out.
"""

from thermometer.families._family import table

COUNTRIES = table("""
France, Paris, Lyon, Europe, euro, French
Germany, Berlin, Munich, Europe, euro, German, Danish
Italy, Rome, Milan, Europe, euro, Italian, German, French, Slovene
Spain, Madrid, Seville, Europe, euro, Spanish
Portugal, Lisbon, Porto, Europe, euro, Portuguese
Austria, Vienna, Salzburg, Europe, euro, German, Slovene, Croatian, Hungarian
Greece, Athens, Thessaloniki, Europe, euro, Greek
Ireland, Dublin, Cork, Europe, euro, English, Irish
Finland, Helsinki, Tampere, Europe, euro, Finnish, Swedish
Estonia, Tallinn, Tartu, Europe, euro, Estonian, Russian
Latvia, Riga, Daugavpils, Europe, euro, Latvian, Russian
Lithuania, Vilnius, Kaunas, Europe, euro, Lithuanian, Russian
Slovakia, Bratislava, Kosice, Europe, euro, Slovak, Hungarian
Slovenia, Ljubljana, Maribor, Europe, euro, Slovene, Italian, Hungarian
Croatia, Zagreb, Split, Europe, euro, Croatian, Serbian, Italian
Belgium, Brussels, Antwerp, Europe, euro, Dutch, French, German
Norway, Oslo, Bergen, Europe, krone, Norwegian
Denmark, Copenhagen, Aarhus, Europe, krone, Danish, German
Sweden, Stockholm, Gothenburg, Europe, , Swedish, Finnish
Iceland, Reykjavik, Akureyri, Europe, , Icelandic
Poland, Warsaw, Krakow, Europe, zloty, Polish
Hungary, Budapest, Debrecen, Europe, forint, Hungarian
Romania, Bucharest, Cluj, Europe, leu, Romanian, Hungarian
Ukraine, Kyiv, Odesa, Europe, hryvnia, Ukrainian, Russian
Belarus, Minsk, Brest, Europe, ruble, Belarusian, Russian
Russia, Moscow, Vladivostok, , ruble, Russian
Serbia, Belgrade, Novi Sad, Europe, dinar, Serbian, Croatian, Hungarian, Slovak, Romanian
Albania, Tirana, Durres, Europe, lek, Albanian
Switzerland, Bern, Zurich, Europe, franc, German, French, Italian
Turkey, Ankara, Istanbul, , lira, Turkish
Georgia, Tbilisi, Batumi, , lari, Georgian, Russian
Armenia, Yerevan, Gyumri, , dram, Armenian, Russian
Azerbaijan, Baku, Ganja, , manat, Azerbaijani, Russian
Kazakhstan, Astana, Almaty, , tenge, Kazakh, Russian
Uzbekistan, Tashkent, Samarkand, Asia, som, Uzbek, Russian
Mongolia, Ulaanbaatar, Erdenet, Asia, tugrik, Mongolian
China, Beijing, Shanghai, Asia, yuan, Chinese, English, Portuguese
Japan, Tokyo, Osaka, Asia, yen, Japanese
South Korea, Seoul, Busan, Asia, won, Korean
North Korea, Pyongyang, Hamhung, Asia, won, Korean
Vietnam, Hanoi, Da Nang, Asia, dong, Vietnamese
Thailand, Bangkok, Chiang Mai, Asia, baht, Thai
Cambodia, Phnom Penh, Battambang, Asia, riel, Khmer
Laos, Vientiane, Pakse, Asia, kip, Lao
Myanmar, Naypyidaw, Yangon, Asia, kyat, Burmese
Malaysia, Kuala Lumpur, Penang, Asia, ringgit, Malay, English
Indonesia, Jakarta, Surabaya, , rupiah, Indonesian
Philippines, Manila, Davao, Asia, peso, Filipino, English, Spanish
India, New Delhi, Mumbai, Asia, rupee, Hindi, English, Bengali, Urdu, Nepali
Pakistan, Islamabad, Karachi, Asia, rupee, Urdu, English
Nepal, Kathmandu, Pokhara, Asia, rupee, Nepali, Hindi
Bangladesh, Dhaka, Chittagong, Asia, taka, Bengali, English
Afghanistan, Kabul, Kandahar, Asia, afghani, Pashto, Persian, Uzbek
Iran, Tehran, Isfahan, Asia, rial, Persian, Azerbaijani
Iraq, Baghdad, Basra, Asia, dinar, Arabic
Syria, Damascus, Aleppo, Asia, , Arabic
Jordan, Amman, Aqaba, Asia, dinar, Arabic
Lebanon, Beirut, Tripoli, Asia, , Arabic, French
Saudi Arabia, Riyadh, Jeddah, Asia, , Arabic
Oman, Muscat, Salalah, Asia, rial, Arabic
Qatar, Doha, Al Khor, Asia, , Arabic
Egypt, Cairo, Alexandria, , pound, Arabic
Libya, Tripoli, Benghazi, Africa, dinar, Arabic
Tunisia, Tunis, Sfax, Africa, dinar, Arabic, French
Algeria, Algiers, Oran, Africa, dinar, Arabic, French
Morocco, Rabat, Casablanca, Africa, dirham, Arabic, French, Spanish
Sudan, Khartoum, Omdurman, Africa, pound, Arabic, English
Ethiopia, Addis Ababa, Mekelle, Africa, birr, Amharic, Somali
Somalia, Mogadishu, Hargeisa, Africa, shilling, Somali, Arabic
Kenya, Nairobi, Mombasa, Africa, shilling, Swahili, English
Uganda, Kampala, Entebbe, Africa, shilling, English, Swahili
Tanzania, Dodoma, Arusha, Africa, shilling, Swahili, English
Rwanda, Kigali, Butare, Africa, franc, Kinyarwanda, English, French, Swahili
Madagascar, Antananarivo, Toamasina, Africa, ariary, Malagasy, French
Mozambique, Maputo, Beira, Africa, metical, Portuguese
Angola, Luanda, Huambo, Africa, kwanza, Portuguese
Zambia, Lusaka, Ndola, Africa, kwacha, English
Malawi, Lilongwe, Blantyre, Africa, kwacha, English
Botswana, Gaborone, Francistown, Africa, pula, English
Namibia, Windhoek, Walvis Bay, Africa, dollar, English, German
Nigeria, Abuja, Lagos, Africa, naira, English
Ghana, Accra, Kumasi, Africa, cedi, English
Senegal, Dakar, Thies, Africa, franc, French
Mali, Bamako, Timbuktu, Africa, franc, , French
Gambia, Banjul, Serekunda, Africa, dalasi, English
Canada, Ottawa, Toronto, North America, dollar, English, French
United States, Washington, Chicago, North America, dollar, English, Spanish
Mexico, Mexico City, Monterrey, North America, peso, Spanish
Guatemala, Guatemala City, Antigua, North America, quetzal, Spanish
Honduras, Tegucigalpa, San Pedro Sula, North America, lempira, Spanish
Nicaragua, Managua, Granada, North America, cordoba, Spanish
Costa Rica, San Jose, Limon, North America, colon, Spanish
Cuba, Havana, Santiago de Cuba, North America, peso, Spanish
Jamaica, Kingston, Montego Bay, North America, dollar, English
Haiti, Port-au-Prince, Cap-Haitien, North America, gourde, French
Dominican Republic, Santo Domingo, Punta Cana, North America, peso, Spanish
Colombia, Bogota, Medellin, South America, peso, Spanish
Venezuela, Caracas, Maracaibo, South America, bolivar, Spanish
Ecuador, Quito, Guayaquil, South America, dollar, Spanish
Peru, Lima, Cusco, South America, sol, Spanish
Chile, Santiago, Valparaiso, South America, peso, Spanish
Argentina, Buenos Aires, Cordoba, South America, peso, Spanish
Uruguay, Montevideo, Salto, South America, peso, Spanish
Paraguay, Asuncion, Encarnacion, South America, guarani, Spanish
Brazil, Brasilia, Rio de Janeiro, South America, real, Portuguese
Suriname, Paramaribo, Lelydorp, South America, dollar, Dutch, English
Australia, Canberra, Sydney, Oceania, dollar, English
New Zealand, Wellington, Auckland, Oceania, dollar, English
Fiji, Suva, Nadi, Oceania, dollar, English
Papua New Guinea, Port Moresby, Lae, Oceania, kina, English
""")
